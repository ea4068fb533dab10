//! What routes cost, as types.

use quota_core::Credits;

use crate::RouteCost;

/// What a route costs, as a type: for the guard [`crate::Paid`].
///
/// ```
/// use quota_rocket::{Answers, Paid, Price, RouteCost, credits_from_query};
///
/// /// As many credits as the query says, and only if it works.
/// struct AsAsked;
///
/// impl Price for AsAsked {
///     fn cost() -> RouteCost {
///         RouteCost::computed(|request| {
///             let query = request.uri().query().map(|query| query.as_str());
///             credits_from_query(query, "credits").map_err(|error| Answers::default().malformed(&error))
///         })
///         .on_success()
///     }
/// }
///
/// #[rocket::get("/report")]
/// fn report(_quota: Paid<AsAsked>) -> &'static str {
///     "a report"
/// }
/// # let _ = rocket::routes![report];
/// ```
pub trait Price: Send + Sync + 'static {
    /// The cost. Asked for each request.
    fn cost() -> RouteCost;
}

/// So many whole credits.
#[derive(Clone, Copy, Debug)]
pub enum Whole<const CREDITS: u32> {}

/// Nothing is charged before: the handler charges all itself.
#[derive(Clone, Copy, Debug)]
pub enum ByHandler {}

impl<const CREDITS: u32> Price for Whole<CREDITS> {
    fn cost() -> RouteCost {
        // Any 32 bits fit.
        Credits::new(u64::from(CREDITS)).unwrap_or(Credits::MAX).into()
    }
}

impl Price for ByHandler {
    fn cost() -> RouteCost {
        RouteCost::by_handler()
    }
}
