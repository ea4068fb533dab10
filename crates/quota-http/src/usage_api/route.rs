//! Which resource a path names, and what can be done with it.

use http::Method;
use percent_encoding::percent_decode_str;
use quota_core::ClientId;

use crate::member::Malformed;

/// A resource of the usage API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Status,
    Usage,
    Clients,
    Of(ClientId, Of),
    Health,
    OpenApi,
}

/// A resource of one client, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Status,
    Usage,
    Plan,
    Preview,
    Entries,
    Denials,
}

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoResource {
    NotFound,
    Malformed(Malformed),
}

impl Resource {
    /// Reads a path below the prefix. A client's id is one segment, percent-encoded.
    pub(crate) fn read(path: &str) -> Result<Self, NoResource> {
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
        let first = segments.next().unwrap_or_default();
        let rest: Vec<&str> = segments.collect();
        match (first, rest.as_slice()) {
            ("status", []) => Ok(Self::Status),
            ("usage", []) => Ok(Self::Usage),
            ("clients", []) => Ok(Self::Clients),
            ("health", []) => Ok(Self::Health),
            ("openapi.json", []) => Ok(Self::OpenApi),
            ("clients", [id, rest @ ..]) => {
                let of = Of::read(rest).ok_or(NoResource::NotFound)?;
                Ok(Self::Of(client(id).map_err(NoResource::Malformed)?, of))
            }
            _ => Err(NoResource::NotFound),
        }
    }

    /// Whether what is there is the caller's own.
    pub(crate) const fn is_callers(&self) -> bool {
        matches!(self, Self::Status | Self::Usage)
    }

    /// The methods that it takes, where plans can be written or not. `HEAD` is as `GET`.
    pub(crate) fn methods(&self, can_set_plans: bool) -> &'static [Method] {
        match self {
            Self::Of(_, Of::Plan) if can_set_plans => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Of(_, Of::Preview) => &[Method::POST],
            Self::Of(_, Of::Usage) => &[Method::GET, Method::DELETE],
            _ => &[Method::GET],
        }
    }

    /// Whether it is for operators alone.
    pub(crate) const fn is_for_operators(&self) -> bool {
        matches!(self, Self::Clients | Self::Of(..))
    }
}

impl Of {
    fn read(segments: &[&str]) -> Option<Self> {
        match segments {
            ["status"] => Some(Self::Status),
            ["usage"] => Some(Self::Usage),
            ["plan"] => Some(Self::Plan),
            ["plan", "preview"] => Some(Self::Preview),
            ["entries"] => Some(Self::Entries),
            ["denials"] => Some(Self::Denials),
            _ => None,
        }
    }
}

fn client(segment: &str) -> Result<ClientId, Malformed> {
    // What is no escape would else stand for itself, and there are two names of one client.
    let is_escape = |rest: &[u8]| rest.len() >= 2 && rest.iter().take(2).all(u8::is_ascii_hexdigit);
    if segment.split('%').skip(1).any(|rest| !is_escape(rest.as_bytes())) {
        return Err(Malformed::new("id", "a percent sign begins no escape: write it as %25".to_owned()));
    }
    let bytes: Vec<u8> = percent_decode_str(segment).collect();
    ClientId::from_utf8(&bytes).map_err(|error| Malformed::new("id", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str, of: Of) -> Resource {
        Resource::Of(ClientId::new(id).unwrap(), of)
    }

    #[test]
    fn a_path_names_one_resource() {
        for (path, resource) in [
            ("/status", Resource::Status),
            ("/clients", Resource::Clients),
            ("/openapi.json", Resource::OpenApi),
            ("/clients/a/status", of("a", Of::Status)),
            ("/clients/a%2Fb%20%C3%A9/plan/preview", of("a/b é", Of::Preview)),
            ("/clients/../denials", of("..", Of::Denials)),
            ("/clients/%25/entries", of("%", Of::Entries)),
        ] {
            assert_eq!(Resource::read(path), Ok(resource), "{path}");
        }
        for path in ["", "/", "/Status", "/status/", "//status", "/clients/", "/clients/a", "/clients/a/plan/x", "/x"] {
            assert_eq!(Resource::read(path), Err(NoResource::NotFound), "{path}");
        }
        for path in [
            "/clients//status",
            "/clients/%00/status",
            "/clients/%FF/status",
            "/clients/%/status",
            "/clients/a%2/status",
            "/clients/%ZZ/status",
            &format!("/clients/{}/plan", "a".repeat(256)),
        ] {
            let error = Resource::read(path).unwrap_err();
            assert!(matches!(&error, NoResource::Malformed(error) if error.member() == "id"), "{path}: {error:?}");
        }
    }
}
