//! Quotas in the hands of a handler.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use quota_http::{Answers, RequestQuota};
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::{Request, Sentinel};

use crate::fairing::Quotas;
use crate::memo::{Decided, Memo};
use crate::price::{ByHandler, Price, Whole};
use crate::refused::Refused;

/// A guard that charges what its route costs: [`Costs`] for whole credits, [`ClientQuota`] where the handler charges, or a
/// [`Price`] of one's own. It is the request's [`RequestQuota`] too.
///
/// A request is charged once, by its first guard. Guards run from left to right: put it last, so that who is turned away by
/// another guard does not pay. Parameters of the path come after all guards: where one is none and the router passes the request
/// on to another route of another price, what was charged is given back (but for a process's first such request of a route, which pays
/// its price). A refusal is an error with its status; the answer's body is the problem document,
/// unless [`crate::QuotaFairing::with_catchers`] leaves it to the application's catchers. A handler that takes
/// `Result<Costs<1>, _>` and answers a refusal by itself does so with another status than the refusal's: the fairing cannot
/// tell its answer from a catcher's.
pub struct Paid<P> {
    quota: RequestQuota,
    price: PhantomData<fn() -> P>,
}

/// A guard that charges so many whole credits:
///
/// ```
/// use quota_rocket::Costs;
///
/// #[rocket::get("/report")]
/// fn report(_quota: Costs<5>) -> &'static str {
///     "5 credits"
/// }
/// # let _ = rocket::routes![report];
/// ```
pub type Costs<const CREDITS: u32> = Paid<Whole<CREDITS>>;

/// A guard that charges nothing: the handler charges, holds and reads by it.
///
/// ```
/// use quota_rocket::{ClientQuota, Refused};
/// use quota_core::Credits;
///
/// #[rocket::get("/compute")]
/// async fn compute(quota: ClientQuota) -> Result<&'static str, Refused> {
///     quota.charge(Credits::ONE).await?; // 429, and nothing is charged
///     Ok("computed")
/// }
/// # let _ = rocket::routes![compute];
/// ```
///
/// Beside a guard that charges, and after it, it is that one's.
pub type ClientQuota = Paid<ByHandler>;

#[rocket::async_trait]
impl<'r, P: Price> FromRequest<'r> for Paid<P> {
    type Error = Refused;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Refused> {
        let price = TypeId::of::<P>();
        match Memo::of(request, price, P::cost()).await {
            Decided::Admitted { quota, price: paid, .. }
                if paid.is_none_or(|paid| paid == price) || price == TypeId::of::<ByHandler>() =>
            {
                Outcome::Success(Self { quota: quota.clone(), price: PhantomData })
            }
            Decided::Refused(refusal) => {
                Outcome::Error((Status::new(refusal.status().as_u16()), Refused::from(refusal.clone())))
            }
            Decided::Admitted { .. } => {
                let route = request.route().map(|route| route.uri.as_str());
                tracing::error!(
                    route,
                    "a route has guards of two prices: it is charged by the first, and the other one refuses"
                );
                let refusal = Answers::default().internal();
                Outcome::Error((Status::InternalServerError, Refused::from(refusal)))
            }
        }
    }
}

/// Without the fairing, the application does not start.
impl<P> Sentinel for Paid<P> {
    fn abort(rocket: &rocket::Rocket<rocket::Ignite>) -> bool {
        let is_missing = rocket.state::<Quotas>().is_none();
        if is_missing {
            tracing::error!("a route asks for quotas and no QuotaFairing is attached: Rocket::attach it");
        }
        is_missing
    }
}

impl<P> Deref for Paid<P> {
    type Target = RequestQuota;

    fn deref(&self) -> &RequestQuota {
        &self.quota
    }
}

impl<P> fmt::Debug for Paid<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Paid").field(&self.quota).finish()
    }
}
