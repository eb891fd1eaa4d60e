//! Whose credentials are known, and who waits for a hash.

use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, FromRequest as _, web};
use futures::future::{join, join_all};

use super::*;

/// Of `password`, from the tests of the reference implementation.
const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

fn asked(user: &str, password: &str) -> TestRequest {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    TestRequest::default().insert_header((AUTHORIZATION, format!("Basic {text}")))
}

async fn given(user: &str, password: &str) -> BasicAuth {
    let request = asked(user, password).to_http_request();
    BasicAuth::extract(&request).await.unwrap()
}

#[actix_web::test]
async fn who_was_right_before_waits_for_no_hash() {
    let rules = Rules {
        credentials: Some(Credentials::hashed("ann", HASH).unwrap()),
        reader: Some(Credentials::hashed("bob", HASH).unwrap()),
        protect_reads: true,
    };
    let attempt = Arc::new(Arc::<Guesses>::default().begin(None).unwrap());
    let of = |user, password| {
        let (rules, attempt) = (&rules, &attempt);
        async move {
            let known = rules.whose(&given(user, password).await, attempt).await;
            known.map(|known| known.user.clone())
        }
    };
    assert_eq!(of("bob", "password").await.as_deref(), Some("bob"));
    assert_eq!(of("bob", "other").await, None);
    // The right password, of which a hash is made for whoever it is.
    assert_eq!(of("eve", "password").await, None);
    let _guessing = hashes::turn().await;
    assert_eq!(of("bob", "password").await.as_deref(), Some("bob"));
}

#[actix_web::test]
async fn who_waits_for_the_turn_is_known_by_what_was_found_right_meanwhile() {
    let rules = Rules {
        credentials: Some(Credentials::hashed("ann", HASH).unwrap()),
        ..Rules::default()
    };
    let (_, hash) = rules.hashed().next().unwrap();
    let attempt = Arc::new(Arc::<Guesses>::default().begin(None).unwrap());
    let [ann, eve] = [given("ann", "other").await, given("eve", "other").await];
    let turn = hashes::turn().await;
    // A hash would find both wrong.
    let found = join(rules.whose(&ann, &attempt), rules.whose(&eve, &attempt));
    let told = async {
        hash.remember("other");
        drop(turn);
    };
    let ((ann, eve), ()) = join(found, told).await;
    assert!(ann.is_some() && eve.is_none());
}

#[actix_web::test]
async fn right_credentials_that_come_at_once_wait_for_the_first_hash() {
    let access = Access::new(Credentials::hashed("ann", HASH).unwrap(), true);
    let app = App::new()
        .app_data(Data::new(access))
        .wrap(from_fn(check_always))
        .default_service(web::to(HttpResponse::Ok));
    let app = init_service(app).await;
    let turn = hashes::turn().await;
    let peer = "192.0.2.1:80".parse().unwrap();
    let ask = |_| call_service(&app, asked("ann", "password").peer_addr(peer).to_request());
    let (answers, ()) = join(join_all((0..8).map(ask)), async { drop(turn) }).await;
    for answer in answers {
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
