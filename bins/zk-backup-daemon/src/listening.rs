//! How connections are taken: actix-web's services, put together here so that what does not speak TLS is met before TLS.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpServiceBuilder, Request, Response, TlsAcceptorConfig};
use actix_service::{IntoServiceFactory, ServiceFactoryExt as _, map_config};
use actix_tls::accept::TlsError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, Server, Service, ServiceFactory, ServiceResponse, fn_service};
use rustls::ServerConfig;

use crate::connections::Connections;
use crate::plain_http;

/// The longest that a client may take to send a request's head.
const HEAD: Duration = Duration::from_secs(10);
/// The longest that it may take for its first byte, and again for TLS.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// Serves `app` by HTTPS where there is `tls`, else by HTTP, and gives a client that long to take the end of its answer.
///
/// The application finds no address of the server in its `AppConfig`.
pub(crate) fn listen<A, S, B>(
    listener: TcpListener,
    tls: Option<ServerConfig>,
    connections: Arc<Connections>,
    patience: Duration,
    app: impl Fn() -> A + Clone + Send + 'static,
) -> io::Result<Server>
where
    A: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<B>, Error = actix_web::Error>
        + 'static,
    S::InitError: std::fmt::Debug,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let builder = Server::build()
        .workers(connections.workers())
        .max_concurrent_connections(connections.of_one_worker())
        .shutdown_timeout(5)
        .disable_signals();
    let stops = builder.graceful_shutdown_signal();
    let app = move || {
        let app = app().into_factory();
        let app = app.map_err(|error: actix_web::Error| error.error_response());
        map_config(app, |()| AppConfig::default())
    };
    let stopping = move || {
        let stops = stops.clone();
        async move { stops.notified().await }
    };
    let builder = match tls {
        None => builder.listen("http", listener, move || {
            let service = service(&connections, patience, stopping.clone());
            service.finish(app()).tcp()
        })?,
        Some(tls) => builder.listen("https", listener, move || {
            let service = service(&connections, patience, stopping.clone());
            let acceptor = TlsAcceptorConfig::default().handshake_timeout(HANDSHAKE);
            let service = service
                .finish(app())
                .rustls_0_23_with_config(tls.clone(), acceptor);
            let first = fn_service(|stream| async {
                plain_http::refuse(stream, HANDSHAKE).await.map_err(TlsError::Tls)
            });
            first.and_then(service)
        })?,
    };
    Ok(builder.run())
}

/// HTTP over connections of either kind. Those that are idle are closed when the server is `stopping`.
fn service<T, S, F>(
    connections: &Arc<Connections>,
    patience: Duration,
    stopping: impl Fn() -> F + 'static,
) -> HttpServiceBuilder<T, S>
where
    T: 'static,
    S: ServiceFactory<Request, Config = ()>,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: std::fmt::Debug,
    <S::Service as Service<Request>>::Future: 'static,
    F: Future<Output = ()> + 'static,
{
    let counted = Arc::clone(connections);
    HttpServiceBuilder::default()
        .client_request_timeout(HEAD)
        .client_disconnect_timeout(patience)
        .graceful_shutdown_signal(stopping)
        .on_connect_ext(move |connection: &T, data| counted.came(connection, data))
}
