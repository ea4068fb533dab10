//! Who a request of the suite's is from.

use http::{HeaderMap, HeaderValue, StatusCode};
use quota_core::ClientId;
use quota_http::{NoClient, RefusalResponse, Standing};

/// How the program finds the client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// By the header `X-Client-Id`.
    Header,
    /// By the [`Member`] that the program's own authentication leaves in every request whose `X-Token` is good.
    Extension,
    /// By a function: [`client_of_token`].
    Function,
    /// By the same function, which has to wait first.
    Waiting,
}

/// The token of somebody whom the program's own authentication does not know and no function is to look up.
const UNASKED: &[u8] = b"unasked";

/// Who has proved to be a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member(ClientId);

impl Member {
    /// Whose token this is, if it is good.
    #[must_use]
    pub fn of_token(token: Option<&[u8]>) -> Option<Self> {
        client_of_token(token.filter(|token| *token != UNASKED)).ok().map(Self)
    }

    /// Who it is.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.0.clone()
    }
}

/// The client of the value of `X-Token`: `of NAME` is that client's. `stolen` is answered in the application's own way:
/// 451, `stolen`.
///
/// # Errors
/// [`NoClient`] for that, and where it is missing or anything else.
///
/// # Panics
/// For `unasked`, which nobody is to look up.
pub fn client_of_token(token: Option<&[u8]>) -> Result<ClientId, NoClient> {
    match token.map(|token| token.strip_prefix(b"of ").ok_or(token)) {
        Some(Ok(name)) => Ok(ClientId::from_utf8(name)?),
        Some(Err(b"stolen")) => {
            let mut headers = HeaderMap::new();
            headers.insert("x-why", HeaderValue::from_static("stolen"));
            let status = StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS;
            Err(RefusalResponse::new(status, headers, "stolen".into()).into())
        }
        Some(Err(UNASKED)) => panic!("somebody is looked up who is not asked for"),
        Some(Err(_)) | None => Err(NoClient::Missing),
    }
}

/// How somebody stands whose `X-Role` is this: `operator`, or somebody else who is known, or nobody.
#[must_use]
pub fn standing_of_role(role: Option<&[u8]>) -> Standing {
    match role {
        Some(b"operator") => Standing::Operator("an operator by role".into()),
        Some(_) => Standing::Other,
        None => Standing::Unknown,
    }
}
