//! The same cases over another version of HTTP.

use std::net::SocketAddr;

use http::Version;

use crate::http::{HttpHarness, Program};

/// A harness that is asked in HTTP/2, without TLS, by prior knowledge (RFC 9113, 3.3).
#[derive(Debug)]
pub struct Http2<H>(H);

impl<H: HttpHarness> HttpHarness for Http2<H> {
    const VERSION: Version = Version::HTTP_2;
    const CANCELS: bool = H::CANCELS;
    const DROPS_STALLED: bool = H::DROPS_STALLED;
    const PAYS_BY_TYPE: bool = H::PAYS_BY_TYPE;
    const HIDES_OTHER_THAN_UTF8: bool = H::HIDES_OTHER_THAN_UTF8;
    const WRAPS: bool = H::WRAPS;

    fn serve(program: Program) -> Self {
        Self(H::serve(program))
    }

    fn address(&self) -> SocketAddr {
        self.0.address()
    }
}
