//! What an endpoint is: a path with its methods, the keys of its query and who may ask; and the answers to anything else.

use actix_web::body::MessageBody;
use actix_web::dev::{HttpServiceFactory, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header::ALLOW;
use actix_web::middleware::from_fn;
use actix_web::web;
use actix_web::{Error, HttpRequest, HttpResponse, Resource, Route, guard};

use crate::access;
use crate::answer::{ApiError, ErrorBody};
use crate::query;

/// No key.
pub(super) const NONE: &[&str] = &[];

/// A path with its one method; others are told so.
pub(super) fn endpoint(
    path: &'static str,
    allowed: &'static [&'static str],
    route: Route,
) -> impl HttpServiceFactory {
    resource(path, allowed, [route])
}

/// The same for what hands out data.
pub(super) fn data(
    path: &'static str,
    allowed: &'static [&'static str],
    route: Route,
) -> impl HttpServiceFactory {
    // What is wrapped around it last is asked first.
    resource(path, allowed, [route]).wrap(from_fn(access::check_always))
}

/// The same for what takes a whole backup away.
pub(super) fn whole(
    path: &'static str,
    allowed: &'static [&'static str],
    route: Route,
) -> impl HttpServiceFactory {
    resource(path, allowed, [route])
        .wrap(from_fn(access::check_operator))
        .wrap(from_fn(access::check_always))
}

pub(super) fn resource(
    path: &'static str,
    allowed: &'static [&'static str],
    routes: impl IntoIterator<Item = Route>,
) -> Resource<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let methods = routes.into_iter();
    methods
        .fold(web::resource(path), Resource::route)
        .default_service(web::to(wrong_method))
        .wrap(from_fn(move |request, next| query::check(allowed, request, next)))
}

/// GET, and HEAD, whose answer goes without the body.
pub(super) fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

pub(super) async fn wrong_method(request: HttpRequest) -> HttpResponse {
    let message = format!("{} does not take {}", request.path(), request.method());
    let pattern = request.match_pattern().unwrap_or_default();
    HttpResponse::MethodNotAllowed()
        .insert_header((ALLOW, crate::openapi::allowed(&pattern)))
        .json(ErrorBody::new("method_not_allowed", &message))
}

pub(super) async fn nothing_here(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(ApiError::no_such_endpoint(request.path(), request.method()))
}
