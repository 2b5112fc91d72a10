//! When keys are fetched, by a clock that stands still until told. A fetch is a call of the test's own.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::time::advance;

use super::*;

/// A key set, what is published, and how often that was fetched.
struct Published {
    set: Arc<KeySet>,
    answer: Arc<Mutex<Result<String, Reason>>>,
    fetches: Arc<AtomicUsize>,
}

/// A key of the curve of Ed25519 under this name; any 32 bytes will do, because nothing is signed here.
fn published(ids: &[&str]) -> String {
    let key = |id: &&str| json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32]), "kid": id });
    json!({ "keys": ids.iter().map(key).collect::<Vec<_>>() }).to_string()
}

impl Published {
    fn new(answer: Result<String, Reason>) -> Self {
        let accepted = Accepted::read(&[]).expect("none");
        let set = Arc::new(KeySet::empty(Source::File(PathBuf::new()), accepted));
        Self { set, answer: Arc::new(Mutex::new(answer)), fetches: Arc::default() }
    }

    /// The task that fetches, and how it is stopped: by being dropped.
    fn keep(&self) -> tokio::task::JoinHandle<()> {
        let (set, answer, fetches) = (self.set.clone(), self.answer.clone(), self.fetches.clone());
        let keep = async move {
            set.keep(|| {
                fetches.fetch_add(1, Ordering::SeqCst);
                std::future::ready(answer.lock().expect("whole").clone().map(Bytes::from))
            })
            .await;
        };
        tokio::task::spawn_local(keep)
    }

    fn publish(&self, answer: Result<String, Reason>) {
        *self.answer.lock().expect("whole") = answer;
    }

    fn fetched(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn knows(&self, id: &str) -> bool {
        self.set.verify(Some(id), Algorithm::EdDSA, "message", "signature") != Verdict::Unknown
    }
}

/// Lets the task do what it has to.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn locally(test: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_causes_one_fetch_in_30_seconds() {
    locally(async {
        let published = Published::new(Ok(published(&["a"])));
        let _task = published.keep();
        settle().await;
        assert_eq!((published.fetched(), published.knows("a"), published.knows("b")), (1, true, false));
        // A flood for ten minutes less a second, so that no fetch falls due anyway.
        for second in 0..599 {
            for _ in 0..50 {
                let () = published.set.refreshed().await;
            }
            settle().await;
            let most = 2 + second / 30;
            assert!(published.fetched() <= most, "{} fetches after {second} s", published.fetched());
            advance(Duration::from_secs(1)).await;
        }
        assert!(published.fetched() >= 19, "{} fetches", published.fetched());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_token_of_a_new_key_waits_for_the_fetch_and_gets_in() {
    locally(async {
        let known = Published::new(Ok(published(&["a"])));
        let _task = known.keep();
        settle().await;
        known.publish(Ok(published(&["a", "b"])));
        known.set.refreshed().await;
        assert!(known.knows("a") && known.knows("b"));
        // The next one within 30 s is refused at once, and its key fetched when they are over.
        known.publish(Ok(published(&["c"])));
        let before = Instant::now();
        known.set.refreshed().await;
        assert_eq!((before.elapsed(), known.knows("c")), (Duration::ZERO, false));
        advance(COOLDOWN).await;
        settle().await;
        assert!(known.knows("c") && !known.knows("a"), "a key that is published no more still counts");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_changes_nothing_and_is_tried_again() {
    locally(async {
        let keys = Published::new(Err("down".to_owned()));
        let _task = keys.keep();
        settle().await;
        assert_eq!((keys.fetched(), keys.knows("a")), (1, false));
        keys.publish(Ok(published(&["a"])));
        advance(RETRY).await;
        settle().await;
        assert_eq!((keys.fetched(), keys.knows("a")), (2, true));
        let many: Vec<String> = (0..=SET_KEYS).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for broken in [
            Err("down".to_owned()),
            Ok(String::new()),
            Ok("{}".to_owned()),
            Ok(r#"{"keys":[]}"#.to_owned()),
            Ok(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a"}]}"#.to_owned()),
            Ok(published(&many)),
        ] {
            keys.publish(broken.clone());
            let fetched = keys.fetched();
            advance(PERIOD).await;
            settle().await;
            assert!(keys.fetched() > fetched && keys.knows("a"), "{broken:?}");
        }
        keys.publish(Ok(published(&["b"])));
        advance(COOLDOWN).await;
        settle().await;
        assert!(keys.knows("b"), "it is tried again within 30 s");
    })
    .await;
}

#[test]
fn of_a_set_only_keys_that_sign_count_and_only_with_their_own_algorithm() {
    let rsa = |bits: usize| {
        let mut modulus = vec![0x80; bits / 8];
        modulus[0] = 0x80;
        json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB" })
    };
    let with = |mut key: Value, name: &str, value: Value| {
        key[name] = value;
        key
    };
    let fits = |accepted: &[&str], key: Value| -> Vec<Algorithm> {
        let names: Vec<String> = accepted.iter().map(|&name| name.to_owned()).collect();
        let set = KeySet::empty(Source::File(PathBuf::new()), Accepted::read(&names).expect("algorithms"));
        let all = [Algorithm::HS256, Algorithm::RS256, Algorithm::RS512, Algorithm::PS256, Algorithm::ES256];
        let key = set.usable(key);
        all.into_iter().filter(|one| key.as_ref().is_some_and(|named| named.key.fits(*one))).collect()
    };
    assert_eq!(fits(&[], rsa(2048)), [Algorithm::RS256]);
    assert_eq!(fits(&["PS256", "RS512"], rsa(2048)), [Algorithm::RS512, Algorithm::PS256]);
    assert_eq!(fits(&[], with(rsa(2048), "alg", json!("PS256"))), [Algorithm::PS256]);
    assert_eq!(fits(&["RS256"], with(rsa(2048), "alg", json!("PS256"))), []);
    for other in ["HS256", "none", "RSA-OAEP", "ES256"] {
        assert_eq!(fits(&[], with(rsa(2048), "alg", json!(other))), [], "{other}");
    }
    assert_eq!(fits(&[], rsa(1024)), [], "too small");
    assert_eq!(fits(&[], with(rsa(2048), "use", json!("enc"))), []);
    assert_eq!(fits(&[], with(rsa(2048), "use", json!("sig"))), [Algorithm::RS256]);
    assert_eq!(fits(&[], with(rsa(2048), "key_ops", json!(["sign"]))), []);
    assert_eq!(fits(&["HS256"], json!({ "kty": "oct", "k": "AAAA" })), [], "a secret is not published");
}
