//! Which path and method is answered by what.

use actix_web::guard;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};

use self::endpoint::{NONE, data, endpoint, nothing_here, read, resource, whole};
use crate::access;

mod archives;
mod backups;
mod browse;
mod endpoint;
mod events;
mod external;
mod find;
mod health;
mod jobs;
mod links;
mod openapi;
mod page;
mod policies;
mod raw;
mod root;
mod ui;
mod v1;

pub(crate) use self::archives::Outside;
pub(crate) use self::events::Listeners;

/// Every endpoint, with the keys that its query may have, and the web page and the description of the API if they are wanted.
pub(crate) fn configure(config: &mut ServiceConfig, with_ui: bool) {
    if with_ui {
        ui::configure(config);
        openapi::configure(config);
    }
    jobs_and_what_they_do(config);
    what_there_is(config, with_ui);
    config.default_service(web::to(nothing_here));
}

/// What asks for work, and tells how it goes.
fn jobs_and_what_they_do(config: &mut ServiceConfig) {
    config
        .service(endpoint("/backup", NONE, web::post().to(jobs::backup)))
        .service(whole("/backup/s3/{id:.*}", links::KEYS, read().to(links::links)))
        .service(whole("/backup/{id}", NONE, read().to(archives::download)))
        .service(data(
            "/restore/backup",
            archives::KEYS,
            web::post().to(archives::upload),
        ))
        .service(endpoint(
            "/external/restore",
            NONE,
            web::post().to(external::external),
        ))
        .service(web::scope("/incremental").default_service(web::to(external::incremental)))
        .service(endpoint("/restore", NONE, web::post().to(jobs::restore)))
        .service(endpoint("/verify", jobs::VERIFY, web::post().to(jobs::verify)))
        .service(endpoint(
            "/verify/{id:.*}",
            NONE,
            web::post().to(jobs::verify_one),
        ))
        .service(endpoint(
            "/restoretest/{id:.*}",
            jobs::RESTORE_TEST,
            web::post().to(jobs::restore_test),
        ))
        .service(endpoint("/evict", backups::EVICT, web::post().to(backups::evict)))
        .service(endpoint(
            "/evict/{id:.*}",
            backups::EVICT_ONE,
            web::post().to(backups::evict_one),
        ))
        .service(endpoint(
            "/terminate/{id:.*}",
            NONE,
            web::post().to(jobs::terminate),
        ))
        .service(endpoint("/jobstatus/{id:.*}", NONE, read().to(jobs::job_status)))
        .service(endpoint("/api/v1/backup", NONE, web::post().to(v1::backup)))
        .service(resource(
            "/api/v1/backup/{id}",
            v1::BLOB,
            [read().to(v1::backup_status), web::delete().to(v1::remove)],
        ))
        .service(resource(
            "/api/v1/restore/{id}",
            v1::BLOB,
            [
                web::post().to(v1::restore),
                read().to(v1::restore_status),
                web::delete().to(v1::forget),
            ],
        ))
        .service(endpoint("/jobs", page::KEYS, read().to(jobs::jobs)))
        .service(data("/events", NONE, read().to(events::events)));
}

/// What is looked at: backups, what they hold, policies and the server.
fn what_there_is(config: &mut ServiceConfig, with_ui: bool) {
    config
        .service(
            resource("/find", find::KEYS, [read().to(find::by_znode)])
                .guard(guard::fn_guard(find::asks_for_znode))
                .wrap(from_fn(access::check_always)),
        )
        .service(endpoint("/find", find::KEYS, read().to(find::by_time)))
        .service(endpoint("/", NONE, read().to(move || root::places(with_ui))))
        .service(resource(
            "/evictionpolicy",
            policies::KEYS,
            [web::post().to(policies::change), read().to(policies::current)],
        ))
        .service(endpoint(
            "/listbackups/{id}/pin",
            NONE,
            web::post().to(backups::pin),
        ))
        .service(endpoint(
            "/listbackups/{id}/unpin",
            NONE,
            web::post().to(backups::unpin),
        ))
        .service(endpoint("/listbackups", NONE, read().to(backups::list)))
        .service(data(
            "/listbackups/{id}/znodes",
            browse::ZNODES,
            read().to(browse::znodes),
        ))
        .service(data(
            "/listbackups/{id}/znode",
            browse::ZNODE,
            read().to(browse::znode),
        ))
        .service(data("/listbackups/{id}/log", NONE, read().to(browse::log)))
        .service(data("/history", browse::HISTORY, read().to(browse::history)))
        .service(data("/diff", browse::DIFF, read().to(browse::diff)))
        .service(endpoint(
            "/listbackups/{id:.*}",
            NONE,
            read().to(backups::describe),
        ))
        .service(endpoint("/health", NONE, read().to(health::health)))
        .service(endpoint("/health/live", NONE, read().to(health::live)))
        .service(endpoint("/health/ready", NONE, read().to(health::ready)))
        .service(endpoint("/health/prometheus", NONE, read().to(health::metrics)))
        .service(endpoint("/metrics", NONE, read().to(health::metrics)));
}
