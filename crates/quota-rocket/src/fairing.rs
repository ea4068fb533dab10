//! The settings, attached to an application.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};
use quota_core::ClientId;
use quota_http::{Answers, IdempotencyKeys, Metering, NoClient, RefusalResponse};
use quota_service::{QuotaService, SharedService, UsageStore};
use rocket::fairing::{self, Fairing, Info, Kind};
use rocket::request::{FromRequest, Outcome};
use rocket::{Build, Request, Response};

use crate::framework::Rocket;
use crate::memo::{Decided, Memo};
use crate::refused::{put_headers, put_quota_headers, replace};
use crate::told::Told;
use crate::{ClientBy, RouteCost};

type ByGuard = dyn for<'a, 'r> Fn(&'a Request<'r>) -> Pin<Box<dyn Future<Output = Named> + Send + 'a>> + Send + Sync;

/// The service for the guards [`crate::Paid`], and the quota headers on the way out.
///
/// ```
/// use quota_rocket::{ClientBy, Costs, QuotaFairing};
/// # use quota_service::QuotaService;
/// # let service = QuotaService::builder(quota_store_memory::MemoryStore::new()).build();
///
/// #[rocket::get("/data")]
/// fn data(_quota: Costs<1>) -> &'static str {
///     "1 credit"
/// }
///
/// let quota = QuotaFairing::new(service, ClientBy::header("X-Client-Id")?);
/// let rocket = rocket::build().attach(quota).mount("/", rocket::routes![data]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **What is charged**: routes whose handler takes such a guard. `HEAD` is charged as `GET`. A fairing cannot refuse, so a
/// route without the guard is free. An application whose routes have the guard and not the fairing does not start.
///
/// **Other fairings** that add headers to answers are best attached after this one. Where a handler has answered and its
/// cost then cannot be charged, the answer becomes a 503 without the handler's headers and cookies; of those that are
/// there by then only such are left as are well known to be of fairings (CORS, Rocket's `Shield`).
///
/// **Cancelled requests**: Rocket runs a request to its end, whether its client is still there or not, and so is it charged.
#[derive(Clone, Debug)]
pub struct QuotaFairing(Quotas);

/// What the guards find in the application's state.
#[derive(Clone)]
pub(crate) struct Quotas {
    metering: Metering<Rocket>,
    by_guard: Option<Arc<ByGuard>>,
    leaves_to_catchers: bool,
}

/// What the application's own guard has said.
struct Named {
    client: Result<ClientId, NoClient>,
    /// Whether it failed: its answer is the application's.
    failed: bool,
}

impl QuotaFairing {
    /// Charges the client that `client` finds.
    #[must_use]
    pub fn new<S: UsageStore>(service: QuotaService<S>, client: ClientBy) -> Self {
        Self::from_shared(Arc::new(service), client)
    }

    /// The same over a service whose store is not named.
    #[must_use]
    pub fn from_shared(service: SharedService, client: ClientBy) -> Self {
        Self(Quotas { metering: Metering::new(service, client), by_guard: None, leaves_to_catchers: false })
    }

    /// Charges the client that a request guard of the application's names, such as its authentication. Where the guard
    /// fails, the answer is its status, by the application's catchers; where it forwards, the request is from nobody: 401.
    #[must_use]
    pub fn by_guard<G, C>(service: SharedService, client: C) -> Self
    where
        G: for<'r> FromRequest<'r> + Send + 'static,
        C: Fn(&G) -> Result<ClientId, NoClient> + Send + Sync + 'static,
    {
        let named = ClientBy::function(|request| match request.local_cache(|| None::<Named>) {
            Some(named) => named.client.clone(),
            None => Err(NoClient::Missing),
        });
        let mut fairing = Self::from_shared(service, named);
        let client = Arc::new(client);
        fairing.0.by_guard = Some(Arc::new(move |request| {
            let client = Arc::clone(&client);
            Box::pin(async move {
                match request.guard::<G>().await {
                    Outcome::Success(guard) => Named { client: client(&guard), failed: false },
                    Outcome::Forward(_) => Named { client: Err(NoClient::Missing), failed: false },
                    Outcome::Error((status, _)) => {
                        Named { client: Err(NoClient::Refused(of_status(status.code))), failed: true }
                    }
                }
            })
        }));
        fairing
    }

    /// Shows quotas in this way.
    #[must_use]
    pub fn with_answers(mut self, answers: Answers) -> Self {
        self.0.metering = self.0.metering.with_answers(answers);
        self
    }

    /// Charges a request that carries such a key once, however often it is sent. Off by default. Rocket does not show a
    /// header that is no UTF-8: such a key is none.
    #[must_use]
    pub fn with_idempotency_keys(mut self, keys: IdempotencyKeys) -> Self {
        self.0.metering = self.0.metering.with_idempotency_keys(keys);
        self
    }

    /// Charges this for the route of this pattern (its base included, as `/api/data/<id>`), whatever its guard says. A route that is
    /// exempt is one without the guard: [`RouteCost::exempt`] answers 500 where there is one.
    #[must_use]
    pub fn with_route(mut self, pattern: impl Into<Box<str>>, cost: impl Into<RouteCost>) -> Self {
        self.0.metering = self.0.metering.with_route(pattern, cost);
        self
    }

    /// Leaves the body of a guard's refusal, with its type, to the application's catchers; its other headers are added all the
    /// same.
    #[must_use]
    pub fn with_catchers(mut self) -> Self {
        self.0.leaves_to_catchers = true;
        self
    }
}

fn of_status(code: u16) -> RefusalResponse {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    RefusalResponse::new(status, HeaderMap::new(), Bytes::new())
}

impl Quotas {
    pub(crate) const fn metering(&self) -> &Metering<Rocket> {
        &self.metering
    }

    /// Asks the application's guard who it is, before anything is decided: once in a request, on however many routes.
    pub(crate) async fn find_client(&self, request: &Request<'_>) {
        if let Some(by_guard) = &self.by_guard {
            request.local_cache_async(async { Some(by_guard(request).await) }).await;
        }
    }

    /// Makes the answer a refusal, or tells of quotas where a handler has answered by itself.
    fn refuse(&self, refusal: &RefusalResponse, response: &mut Response<'_>) {
        if response.status().code != refusal.status().as_u16() {
            put_quota_headers(refusal, response);
        } else if self.leaves_to_catchers {
            let (_, mut headers, _) = refusal.clone().into_parts();
            headers.remove(CONTENT_TYPE);
            put_headers(&headers, response);
        } else {
            // A catcher has answered: what it says is not what is refused here.
            replace(refusal.clone(), response);
        }
    }

    /// Whether the application's own guard has failed.
    fn has_failed(&self, request: &Request<'_>) -> bool {
        self.by_guard.is_some() && request.local_cache(|| None::<Named>).as_ref().is_some_and(|named| named.failed)
    }
}

#[rocket::async_trait]
impl Fairing for QuotaFairing {
    fn info(&self) -> Info {
        Info { name: "quotas", kind: Kind::Ignite | Kind::Response }
    }

    async fn on_ignite(&self, rocket: rocket::Rocket<Build>) -> fairing::Result {
        if rocket.state::<Quotas>().is_some() {
            tracing::error!("two QuotaFairings are attached: the guards would not know whose service to ask");
            return Err(rocket);
        }
        Ok(rocket.manage(self.0.clone()))
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some((memo, is_answered)) = Memo::found(request) else { return };
        if !is_answered {
            memo.give_back().await;
            return;
        }
        if let Decided::Refused(refusal) = memo
            && !self.0.has_failed(request)
        {
            self.0.refuse(refusal, response);
        }
        let status = StatusCode::from_u16(response.status().code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut told = Told::default();
        if let Decided::Admitted { quota, price: None, told: place, .. } = memo {
            quota.write(&mut told);
            place.get_or_init(|| told).put(response);
        } else if let Some((admitted, place)) = memo.take() {
            match admitted.conclude(status, &mut told).await {
                Ok(()) => place.get_or_init(|| told).put(response),
                Err(refusal) => replace(refusal, response),
            }
        }
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quotas").field("metering", &self.metering).finish_non_exhaustive()
    }
}
