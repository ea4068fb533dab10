//! The usage API itself.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{ALLOW, LINK, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use quota_core::{ClientId, Instant, Plan, Refusal};
use quota_service::{QuotaService, ServiceError, SharedService, UsageStore};

use crate::answers::Answers;
use crate::member::Malformed;
use crate::problem;
use crate::refusals::is_fault;
use crate::task::to_its_end;
use crate::usage_api::change::Change;
use crate::usage_api::description::{open_api, open_api_with};
use crate::usage_api::operators::{OperatorToken, Standing};
use crate::usage_api::query::{Query, plan};
use crate::usage_api::request::{ApiRequest, ApiResponse, NoBody, json, with_body};
use crate::usage_api::route::{NoResource, Of, Resource};
use crate::usage_api::table;
use crate::usage_api::views::{
    ClientsView, DenialsView, EntriesView, EntryView, HealthView, PlanView, PreviewView, StatusView, UsageView,
    day_cells,
};

/// Quotas and usage over HTTP: each caller's own, and for operators everybody's. An adapter mounts it under a prefix; until
/// then there is none of it.
///
/// | request | answers |
/// | --- | --- |
/// | `GET /status`, `GET /usage?from=&to=&tz=&by=label` | the caller's own |
/// | `GET /clients?prefix=&after=&limit=` | clients, at most 200 a page |
/// | `GET /clients/{id}/status`, `…/usage`, `…/entries` | a client's |
/// | `GET /clients/{id}/denials` | the last ones, where the service remembers them (`QuotaServiceBuilder::with_denials`) |
/// | `GET`, `PUT`, `DELETE /clients/{id}/plan`, `POST …/plan/preview` | its plan |
/// | `DELETE /clients/{id}/usage?from=&to=` or `?all=true` | how many entries went |
/// | `GET /health`, `GET /openapi.json` | whether the store answers; the description of all this |
///
/// Everything below `/clients` is for operators: without a token, and without an application that says who is one, nobody
/// is, and who asks is answered 403; the log says why, once. Clones share everything.
#[derive(Clone)]
pub struct UsageApi(Arc<Inner>);

#[derive(Clone)]
pub(super) struct Inner {
    pub(super) service: SharedService,
    answers: Answers,
    token: Option<OperatorToken>,
    /// What it says of itself.
    description: Bytes,
    /// Whether it was logged that nobody is an operator.
    told: Arc<AtomicBool>,
}

/// An answer, or the one that takes its place.
pub(super) type Answered = Result<ApiResponse, ApiResponse>;

/// Whoever may do what operators may, by a name for the log.
pub(super) type Operator = Box<str>;

impl UsageApi {
    /// Over a service, without operators.
    #[must_use]
    pub fn new<S: UsageStore>(service: &QuotaService<S>) -> Self {
        let service: SharedService = Arc::new(service.clone());
        let (answers, description) = (Answers::default(), open_api());
        Self(Arc::new(Inner { service, answers, token: None, description, told: Arc::default() }))
    }

    /// Operators prove themselves by this bearer token.
    #[must_use]
    pub fn with_operator_token(mut self, token: OperatorToken) -> Self {
        Arc::make_mut(&mut self.0).token = Some(token);
        self
    }

    /// Refusals look like the application's other ones.
    #[must_use]
    pub fn with_answers(mut self, answers: Answers) -> Self {
        Arc::make_mut(&mut self.0).answers = answers;
        self
    }

    /// Says in `GET /openapi.json` that this header names callers, so that what is generated from it can send that. How they are
    /// found is for [`crate::ClientBy`] to say: this changes nothing of it. By default the description says that the
    /// application decides, and takes `Authorization` for the header.
    #[must_use]
    pub fn with_client_header(mut self, name: &HeaderName) -> Self {
        Arc::make_mut(&mut self.0).description = open_api_with(name);
        self
    }

    /// Answers a request. Never fails: what is wrong is told in the answer, what the answer must not tell in the log.
    ///
    /// `HEAD` is answered as `GET`, with the body: a framework's server leaves it out, and says how long it would be. For a server
    /// that does not there is [`ApiResponse::for_method`].
    pub async fn answer(&self, request: ApiRequest) -> ApiResponse {
        self.answer_at(Resource::read(&request.path), request).await
    }

    /// The same where the request's path was read already.
    pub(super) async fn answer_at(&self, resource: Result<Resource, NoResource>, request: ApiRequest) -> ApiResponse {
        self.0.answer(resource, request).await.unwrap_or_else(|refusal| refusal)
    }
}

impl Inner {
    async fn answer(&self, resource: Result<Resource, NoResource>, request: ApiRequest) -> Answered {
        let resource = match resource {
            Ok(resource) => resource,
            Err(NoResource::NotFound) => {
                return Err(problem::plain(StatusCode::NOT_FOUND, "there is no such resource"));
            }
            Err(NoResource::Malformed(error)) => {
                // Only operators have paths that can be malformed.
                self.operator(&request)?;
                return Err(self.answers.malformed(&error));
            }
        };
        let operator = if resource.is_for_operators() { Some(self.operator(&request)?) } else { None };
        self.check_method(&resource, &request.method)?;
        match resource {
            Resource::Of(client, of) => self.of(&request, &client, of, &operator.unwrap_or_default()).await,
            Resource::Clients => self.clients(&request).await,
            Resource::Status => self.status(self.caller(&request)?).await,
            Resource::Usage => self.usage(&request, self.caller(&request)?).await,
            Resource::OpenApi => Ok(with_body(StatusCode::OK, "application/json", self.description.clone())),
            Resource::Health => self.health().await,
        }
    }

    /// What an operator does with one client.
    async fn of(&self, request: &ApiRequest, client: &ClientId, of: Of, operator: &Operator) -> Answered {
        match (of, &request.method) {
            (Of::Status, _) => self.status(client).await,
            (Of::Usage, &Method::DELETE) => {
                let range = Query(&request.query).range_to_delete().map_err(|error| self.answers.malformed(&error))?;
                self.change(client, operator, |change| change.delete_usage(range)).await
            }
            (Of::Usage, _) => self.usage(request, client).await,
            (Of::Plan, &Method::PUT) => {
                let plan = self.plan_in(request)?;
                self.change(client, operator, |change| change.set_plan(plan)).await
            }
            (Of::Plan, &Method::DELETE) => self.change(client, operator, Change::remove_plan).await,
            (Of::Plan, _) => self.plan(client).await,
            (Of::Preview, _) => self.preview(request, client).await,
            (Of::Entries, _) => self.entries(request, client).await,
            (Of::Denials, _) => self.denials(client),
        }
    }

    /// Once begun, it is done and logged, whether or not anybody still waits for the answer.
    async fn change<F>(&self, client: &ClientId, operator: &Operator, change: impl FnOnce(Change) -> F) -> Answered
    where
        F: Future<Output = Answered> + Send + 'static,
    {
        let change = change(Change { inner: self.clone(), client: client.clone(), operator: operator.clone() });
        to_its_end(change).await.unwrap_or_else(|| Err(self.answers.unavailable()))
    }

    fn caller<'a>(&self, request: &'a ApiRequest) -> Result<&'a ClientId, ApiResponse> {
        request.caller.as_ref().map_err(|error| self.answers.no_client(error))
    }

    fn operator(&self, request: &ApiRequest) -> Result<Operator, ApiResponse> {
        let standing = match (&request.standing, &self.token) {
            (Some(standing), _) => standing.clone(),
            (None, Some(token)) => token.standing(&request.headers),
            (None, None) => {
                self.tell_of_no_operators();
                Standing::Other
            }
        };
        match standing {
            Standing::Operator(name) => Ok(name),
            Standing::Other => Err(problem::plain(StatusCode::FORBIDDEN, "this is for operators")),
            Standing::Unknown => {
                let mut answer =
                    problem::plain(StatusCode::UNAUTHORIZED, "this is for operators: their token is needed");
                answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                Err(answer)
            }
        }
    }

    fn tell_of_no_operators(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "what is for operators is off in the usage API, and was asked for: nobody is one without \
                 UsageApi::with_operator_token or UsageRoutes::with_operators. This is logged once"
            );
        }
    }

    fn check_method(&self, resource: &Resource, method: &Method) -> Result<(), ApiResponse> {
        let methods = resource.methods(self.service.can_set_plans());
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        if methods.contains(asked) {
            return Ok(());
        }
        let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        if methods.contains(&Method::GET) {
            names.push("HEAD");
        }
        let mut answer = problem::plain(StatusCode::METHOD_NOT_ALLOWED, "this resource does not take that method");
        if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
            answer.headers_mut().insert(ALLOW, names);
        }
        Err(answer)
    }

    async fn status(&self, client: &ClientId) -> Answered {
        let status = self.service.status(client).await.map_err(|error| self.failed(client, &error))?;
        Ok(json(StatusCode::OK, &StatusView::new(&status)))
    }

    async fn usage(&self, request: &ApiRequest, client: &ClientId) -> Answered {
        let asked = Query(&request.query).days(self.service.now()).map_err(|error| self.answers.malformed(&error))?;
        let days = self.service.daily_usage(client, asked.query).await;
        // Days begin where the zone says.
        let days = days.map_err(|error| self.failed_naming(client, &error, |refusal| of_bound(refusal, |_| "tz")))?;
        let usage = UsageView::new(&asked, days);
        if table::is_wanted(&request.headers) {
            return Ok(table::answer(["day", "label", "credits", "entries"], usage.days().iter().map(day_cells)));
        }
        Ok(json(StatusCode::OK, &usage))
    }

    async fn clients(&self, request: &ApiRequest) -> Answered {
        let query = Query(&request.query).clients().map_err(|error| self.answers.malformed(&error))?;
        let limit = query.limit;
        let clients = self.service.clients(query).await.map_err(|error| self.unknown_failed(&error))?;
        Ok(json(StatusCode::OK, &ClientsView::new(clients, limit)))
    }

    async fn plan(&self, client: &ClientId) -> Answered {
        let plan = self.service.plan(client).await.map_err(|error| self.failed(client, &error))?;
        let plan = plan.ok_or_else(|| problem::plain(StatusCode::NOT_FOUND, "the client has no plan"))?;
        Ok(json(StatusCode::OK, &PlanView::new(&plan)))
    }

    fn plan_in(&self, request: &ApiRequest) -> Result<Plan, ApiResponse> {
        let too_long = || problem::plain(StatusCode::PAYLOAD_TOO_LARGE, "a body has at most 64 KiB");
        match &request.body {
            Ok(body) if body.len() <= ApiRequest::MAX_BODY => plan(body),
            Ok(_) | Err(NoBody::TooLong) => return Err(too_long()),
            Err(NoBody::CutOff) => Err(Malformed::new("body", "it ended before it was whole".to_owned())),
        }
        .map_err(|error| self.answers.malformed(&error))
    }

    async fn preview(&self, request: &ApiRequest, client: &ClientId) -> Answered {
        let plan = self.plan_in(request)?;
        let status = self.service.preview_plan(client, plan.clone()).await;
        let status = status.map_err(|error| self.failed_naming(client, &error, of_plan))?;
        let view = PreviewView::new(&plan, &status, self.service.now());
        let view = view.map_err(|refusal| self.failed_naming(client, &refusal.into(), of_plan))?;
        Ok(json(StatusCode::OK, &view))
    }

    async fn entries(&self, request: &ApiRequest, client: &ClientId) -> Answered {
        let query = Query(&request.query).entries().map_err(|error| self.answers.malformed(&error))?;
        let page = self.service.entries(client, query).await;
        let page = page.map_err(|error| self.failed_naming(client, &error, of_cursor))?;
        let next = page.next.as_deref().and_then(|next| Query(&request.query).link_to(next));
        let view = EntriesView::new(page.entries, page.next);
        if table::is_wanted(&request.headers) {
            let rows = view.entries().iter().map(EntryView::cells);
            let mut table = table::answer(["at", "id", "credits", "label"], rows);
            if let Some(next) = next {
                table.headers_mut().insert(LINK, next);
            }
            return Ok(table);
        }
        Ok(json(StatusCode::OK, &view))
    }

    fn denials(&self, client: &ClientId) -> Answered {
        match self.service.denials(client) {
            Some(denials) => Ok(json(StatusCode::OK, &DenialsView::new(&denials))),
            None => Err(problem::plain(StatusCode::NOT_FOUND, "denials are not remembered here")),
        }
    }

    async fn health(&self) -> Answered {
        match self.service.health().await {
            Ok(()) => Ok(json(StatusCode::OK, &HealthView { status: "ok" })),
            Err(error) => Err(self.unknown_failed(&error)),
        }
    }

    /// As [`Inner::failed`], but 400 where this says that the request is at fault, and with which member.
    pub(super) fn failed_naming(
        &self,
        client: &ClientId,
        error: &ServiceError,
        member: impl FnOnce(&Refusal) -> Option<&'static str>,
    ) -> ApiResponse {
        if let ServiceError::Refused(refusal) = error
            && let Some(member) = member(refusal)
        {
            return self.answers.malformed(&Malformed::new(member, refusal.to_string()));
        }
        self.failed(client, error)
    }

    pub(super) fn failed(&self, client: &ClientId, error: &ServiceError) -> ApiResponse {
        if !matches!(error, ServiceError::Refused(refusal) if !is_fault(refusal)) {
            let error: &dyn Error = error;
            tracing::error!(%client, error, "the usage API could not answer");
        }
        match error {
            ServiceError::Refused(refusal) if of_plan(refusal).is_some() => {
                problem::plain(StatusCode::INTERNAL_SERVER_ERROR, "the client's plan cannot be applied")
            }
            error => self.answers.failed(error),
        }
    }

    fn unknown_failed(&self, error: &ServiceError) -> ApiResponse {
        let cause: &dyn Error = error;
        tracing::error!(error = cause, "the usage API could not answer");
        self.answers.failed(error)
    }
}

/// A plan that has no window now, or one that outlasts what is kept, where a request gives it.
pub(super) fn of_plan(refusal: &Refusal) -> Option<&'static str> {
    matches!(refusal, Refusal::WindowOutOfRange(_) | Refusal::WindowExceedsRetention { .. }).then_some("quotas")
}

/// A bound that cuts what is kept whole; of which member it is, this says by its instant.
pub(super) fn of_bound(refusal: &Refusal, member: impl FnOnce(Instant) -> &'static str) -> Option<&'static str> {
    match refusal {
        Refusal::RangeNotAligned { at } => Some(member(*at)),
        _ => None,
    }
}

/// A cursor that was never given out.
fn of_cursor(refusal: &Refusal) -> Option<&'static str> {
    matches!(refusal, Refusal::InvalidCursor).then_some("after")
}

impl fmt::Debug for UsageApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageApi").field("token", &self.0.token).finish_non_exhaustive()
    }
}
