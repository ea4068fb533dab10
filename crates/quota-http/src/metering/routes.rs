//! What is known of the routes that were asked for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use http::Method;
use quota_core::Label;

/// Every route that a layer has seen. Bounded by the application's routes: it is kept by pattern, not by path.
#[derive(Debug)]
pub(crate) struct Routes {
    /// The first route of each place, found without a lock: most applications' routes are all here.
    firsts: [OnceLock<Arc<Route>>; PLACES],
    rest: RwLock<HashMap<Box<str>, Arc<Route>>>,
}

const PLACES: usize = 64;

/// A route by its pattern.
#[derive(Debug)]
pub(crate) struct Route {
    pattern: Box<str>,
    label: Option<Label>,
    /// The methods that answered with something else than 405: a bit for each, and one for all others.
    handled: AtomicU16,
    /// Those that answered with 405 after that.
    doubted: AtomicU16,
    /// Those that did so again after they had been handled once more.
    mixed: AtomicU16,
    /// Those of which it is not sure all the same: the router passed one on to another route.
    unsure: AtomicU16,
}

impl Routes {
    pub(crate) fn route(&self, pattern: &str) -> Arc<Route> {
        let hash = pattern.bytes().fold(0, |hash: usize, byte| hash.rotate_left(5) ^ usize::from(byte));
        let first = self.firsts.get(hash % PLACES).map(|first| first.get_or_init(|| Arc::new(Route::new(pattern))));
        match first.filter(|route| *route.pattern == *pattern) {
            Some(route) => Arc::clone(route),
            None => self.look_up(pattern),
        }
    }

    fn look_up(&self, pattern: &str) -> Arc<Route> {
        let known = self.rest.read().unwrap_or_else(PoisonError::into_inner).get(pattern).map(Arc::clone);
        known.unwrap_or_else(|| {
            let mut routes = self.rest.write().unwrap_or_else(PoisonError::into_inner);
            let route = routes.entry(pattern.into()).or_insert_with(|| Arc::new(Route::new(pattern)));
            Arc::clone(route)
        })
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self { firsts: [const { OnceLock::new() }; PLACES], rest: RwLock::default() }
    }
}

impl Route {
    fn new(pattern: &str) -> Self {
        Self {
            pattern: pattern.into(),
            label: label(pattern),
            handled: AtomicU16::new(0),
            doubted: AtomicU16::new(0),
            mixed: AtomicU16::new(0),
            unsure: AtomicU16::new(0),
        }
    }

    /// The pattern, as far as a label is long.
    pub(crate) const fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    pub(crate) const fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether a handler is known to answer this method, whatever else a request says.
    pub(crate) fn handles(&self, method: &Method) -> bool {
        let known = self.handled.load(Ordering::Relaxed) & !self.mixed.load(Ordering::Relaxed);
        known & bit(method) != 0 && !self.is_unsure(method)
    }

    /// Whether a request of this method was passed on to another route.
    pub(crate) fn is_unsure(&self, method: &Method) -> bool {
        self.unsure.load(Ordering::Relaxed) & bit(method) != 0
    }

    /// Notes that a request of this method was passed on to another route.
    pub(crate) fn note_unsure(&self, method: &Method) {
        if !self.is_unsure(method) {
            self.unsure.fetch_or(bit(method), Ordering::Relaxed);
        }
    }

    /// Notes that a handler answers this method.
    pub(crate) fn note_handled(&self, method: &Method) {
        if self.handled.load(Ordering::Relaxed) & bit(method) == 0 {
            self.handled.fetch_or(bit(method), Ordering::Relaxed);
        }
    }

    /// Notes that this method was answered with 405 though a handler was known to answer it, until the next answer that is none:
    /// what answered before may have stood in front of the router. The second time it is for good, or requests of both
    /// kinds, one after the other, would be charged for every 405.
    pub(crate) fn note_unhandled(&self, method: &Method) {
        let bit = bit(method);
        if self.doubted.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            self.mixed.fetch_or(bit, Ordering::Relaxed);
        }
        self.handled.fetch_and(!bit, Ordering::Relaxed);
    }
}

/// One bit for all methods that are not in the list: axum routes them alike, to `any` or to a method fallback. Where a router does
/// not, after a few 405s none of them is known to be handled.
fn bit(method: &Method) -> u16 {
    const OTHERS: u16 = 1 << 9;
    const METHODS: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    METHODS.iter().position(|known| known == method).map_or(OTHERS, |index| 1 << index)
}

/// A pattern's first 64 bytes, cut between characters.
fn label(pattern: &str) -> Option<Label> {
    let fits = (1..=pattern.len().min(Label::MAX_BYTES)).rev().find_map(|end| pattern.get(..end));
    fits.and_then(|text| Label::new(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_pattern_is_cut_between_characters() {
        let long = format!("/{}\u{e9}", "x".repeat(62));
        assert_eq!(label(&long).unwrap().as_str(), &long[..63]);
        assert_eq!(label("/short").unwrap().as_str(), "/short");
        assert_eq!(label(""), None);
    }

    #[test]
    fn methods_are_noted_one_by_one() {
        let routes = Routes::default();
        let route = routes.route("/a");
        route.note_handled(&Method::GET);
        assert!(route.handles(&Method::GET));
        assert!(!route.handles(&Method::POST));
        let extension = Method::from_bytes(b"BREW").unwrap();
        assert!(!route.handles(&extension));
        route.note_handled(&extension);
        assert!(route.handles(&extension) && route.handles(&Method::from_bytes(b"PROPFIND").unwrap()));
        assert!(!route.handles(&Method::CONNECT));
        route.note_unhandled(&extension);
        assert!(!route.handles(&extension) && route.handles(&Method::GET));
        route.note_handled(&extension);
        assert!(route.handles(&extension));
        route.note_unhandled(&extension);
        route.note_handled(&extension);
        assert!(!route.handles(&extension), "it is doubted for good");
        assert!(!route.is_unsure(&extension), "it was not passed on");
        route.note_unsure(&Method::GET);
        route.note_handled(&Method::GET);
        assert!(!route.handles(&Method::GET), "it is never sure again");
    }

    #[test]
    fn routes_are_told_apart_also_where_they_share_a_place() {
        let routes = Routes::default();
        let patterns: Vec<String> = (0..PLACES * 3).map(|number| format!("/{number}")).collect();
        for pattern in patterns.iter().step_by(2) {
            routes.route(pattern).note_handled(&Method::GET);
        }
        for (number, pattern) in patterns.iter().enumerate() {
            let route = routes.route(pattern);
            assert_eq!((route.pattern(), route.handles(&Method::GET)), (pattern.as_str(), number % 2 == 0));
        }
    }
}
