//! The page as answers.

use bytes::Bytes;
use http::header::{ALLOW, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::file::File;
use crate::page_headers;

/// Where the page is told which header names the client.
const CLIENT_HEADER: &str = "data-client-header=\"\"";

/// The page of quotas and usage, to be mounted under the prefix of the usage API. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Dashboard {
    index: Bytes,
    tag: HeaderValue,
}

/// A request that may be for the page.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path below the prefix: empty or `/` for the page itself.
    pub path: &'a str,
    /// The path with the prefix, as the request has it: it says whether the slash at the end is there.
    pub whole_path: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
}

impl Dashboard {
    /// The page for an application that knows by itself who asks, by a session's cookie or a proxy before it.
    #[must_use]
    pub fn new() -> Self {
        Self::of(File::at("index.html").map(|file| Bytes::from_static(file.bytes)).unwrap_or_default())
    }

    /// The page asks for a client's id, and sends it in this header. For an application whose clients are named by a
    /// header, and where whoever opens the page may see any of them.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderName, Method};
    /// use quota_dashboard::{Dashboard, PageRequest};
    ///
    /// let dashboard = Dashboard::new().with_client_header(&HeaderName::from_static("x-client-id"));
    /// let headers = HeaderMap::new();
    /// let request = PageRequest { method: &Method::GET, path: "/", whole_path: "/quota/", headers: &headers };
    /// let page = dashboard.answer(request).ok_or("the page is at /")?;
    /// assert!(std::str::from_utf8(page.body())?.contains(r#"data-client-header="x-client-id""#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_client_header(self, name: &HeaderName) -> Self {
        // A header's name may hold `&` and `'`, but no quote and no angle bracket.
        let name = name.as_str().replace('&', "&amp;").replace('\'', "&#39;");
        let index = String::from_utf8_lossy(&self.index);
        Self::of(index.replacen(CLIENT_HEADER, &format!("data-client-header=\"{name}\""), 1).into())
    }

    fn of(index: Bytes) -> Self {
        let digest = Sha256::digest(&index);
        let tag: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        // Hexadecimal digits in quotes are a header's value.
        let tag = HeaderValue::try_from(format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { index, tag }
    }

    /// The page or a file of it, for `HEAD` as for `GET`, with the body: a framework's server leaves it out, and over another
    /// one it is the caller's to leave out. None where the path is not one of the page's: then it is for the usage API.
    /// Where the path lacks the slash at its end, the answer leads to the one that has it, since the page finds its files
    /// and the usage API relative to its own address.
    #[must_use]
    pub fn answer(&self, request: PageRequest<'_>) -> Option<Response<Bytes>> {
        let path = request.path.strip_prefix('/').unwrap_or(request.path);
        let file = File::at(if path.is_empty() { "index.html" } else { path }).filter(|_| path != "index.html")?;
        if !matches!(*request.method, Method::GET | Method::HEAD) {
            let mut headers = page_headers::common();
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(response(StatusCode::METHOD_NOT_ALLOWED, headers, Bytes::new()));
        }
        Some(if path.is_empty() { self.page(file, request) } else { asset(file) })
    }

    fn page(&self, file: &File, request: PageRequest<'_>) -> Response<Bytes> {
        if !request.whole_path.ends_with('/') {
            return with_slash(request.whole_path);
        }
        let mut headers = page_headers::of(file);
        headers.insert(ETAG, self.tag.clone());
        if self.is_known(request.headers) {
            return response(StatusCode::NOT_MODIFIED, headers, Bytes::new());
        }
        response(StatusCode::OK, headers, self.index.clone())
    }

    /// Whether the browser has this page already.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = known.flat_map(|value| value.split(',')).map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.tag.as_bytes())
    }
}

impl Default for Dashboard {
    fn default() -> Self {
        Self::new()
    }
}

fn asset(file: &'static File) -> Response<Bytes> {
    response(StatusCode::OK, page_headers::of(file), Bytes::from_static(file.bytes))
}

/// Relative, so that it holds also behind a proxy that has another prefix before this one. `./` keeps what stands
/// before a colon from being taken for a scheme.
fn with_slash(path: &str) -> Response<Bytes> {
    let mut headers = page_headers::common();
    let last = path.rsplit('/').next().unwrap_or_default();
    match HeaderValue::try_from(format!("./{last}/")) {
        Ok(location) => {
            headers.insert(LOCATION, location);
            response(StatusCode::PERMANENT_REDIRECT, headers, Bytes::new())
        }
        Err(_) => response(StatusCode::NOT_FOUND, headers, Bytes::new()),
    }
}

fn response(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(dashboard: &Dashboard, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
        dashboard.answer(PageRequest { method, path, whole_path: &format!("/quota{path}"), headers })
    }

    fn get(path: &str) -> Option<Response<Bytes>> {
        ask(&Dashboard::new(), &Method::GET, path, &HeaderMap::new())
    }

    fn script() -> String {
        let page = get("/").unwrap();
        let text = std::str::from_utf8(page.body()).unwrap();
        let (_, rest) = text.split_once("src=\"./").unwrap();
        format!("/{}", rest.split_once('"').unwrap().0)
    }

    #[test]
    fn the_page_is_asked_for_again_and_its_files_are_kept() {
        let page = get("/").unwrap();
        assert_eq!(page.status(), 200);
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(page.headers()["cache-control"], "no-cache");
        let script = get(&script()).unwrap();
        assert_eq!(script.headers()["content-type"], "text/javascript; charset=utf-8");
        assert_eq!(script.headers()["cache-control"], "public, max-age=31536000, immutable");
        assert!(script.body().len() > 10_000);
    }

    #[test]
    fn every_answer_has_the_policy() {
        for answer in [get("/"), get(""), get(&script()), get("/licences.md")] {
            let answer = answer.unwrap();
            let policy = answer.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
            assert!(!policy.contains("unsafe") && !policy.contains("  "), "{policy}");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
        }
    }

    #[test]
    fn what_is_not_the_pages_is_for_the_usage_api() {
        for path in [
            "/status",
            "/clients/a/plan",
            "/index.html",
            "/assets/",
            "/assets/../index.html",
            "//",
            "/assets/x.js",
            "/%69ndex.html",
            "/openapi.json",
            "/..",
        ] {
            assert!(get(path).is_none(), "{path}");
        }
    }

    #[test]
    fn without_the_slash_the_browser_is_led_to_it() {
        let answer = get("").unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["location"].as_bytes()), (308, &b"./quota/"[..]));
        // Some frameworks show `/` below the prefix in both cases.
        let headers = HeaderMap::new();
        let request = PageRequest { method: &Method::GET, path: "/", whole_path: "/a/quota", headers: &headers };
        assert_eq!(Dashboard::new().answer(request).unwrap().headers()["location"], "./quota/");
        let request = PageRequest { whole_path: "/a/\n", ..request };
        assert_eq!(Dashboard::new().answer(request).unwrap().status(), 404);
    }

    #[test]
    fn a_page_that_is_known_is_not_sent_again() {
        let tag = get("/").unwrap().headers()["etag"].to_str().unwrap().to_owned();
        for (known, status) in
            [(tag.clone(), 304), (format!("\"x\", W/{tag}"), 304), ("*".to_owned(), 304), ("\"x\"".to_owned(), 200)]
        {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::try_from(&known).unwrap())]);
            let answer = ask(&Dashboard::new(), &Method::GET, "/", &headers).unwrap();
            assert_eq!((answer.status().as_u16(), answer.body().is_empty()), (status, status == 304), "{known}");
        }
        let other = Dashboard::new().with_client_header(&HeaderName::from_static("x-client-id"));
        assert_ne!(ask(&other, &Method::GET, "/", &HeaderMap::new()).unwrap().headers()["etag"], tag.as_str());
    }

    #[test]
    fn head_is_answered_as_get_and_other_methods_are_refused() {
        let head = ask(&Dashboard::new(), &Method::HEAD, "/", &HeaderMap::new()).unwrap();
        assert_eq!((head.status().as_u16(), head.body()), (200, get("/").unwrap().body()));
        let post = ask(&Dashboard::new(), &Method::POST, "/", &HeaderMap::new()).unwrap();
        assert_eq!((post.status().as_u16(), post.headers()["allow"].as_bytes()), (405, &b"GET, HEAD"[..]));
        assert!(ask(&Dashboard::new(), &Method::POST, "/status", &HeaderMap::new()).is_none());
    }

    #[test]
    fn a_header_of_odd_letters_stays_inside_its_attribute() {
        let name = HeaderName::from_static("x&'`|~");
        let dashboard = Dashboard::new().with_client_header(&name);
        let page = ask(&dashboard, &Method::GET, "/", &HeaderMap::new()).unwrap();
        let text = std::str::from_utf8(page.body()).unwrap();
        assert!(text.contains("<html lang=\"en\" data-client-header=\"x&amp;&#39;`|~\">"), "{text}");
    }
}
