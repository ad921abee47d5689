//! Tokens of somebody who has a private key (RS256, ES256): the service knows the public key, and nothing that was signed otherwise passes.

use crate::support::bot::run;
use crate::support::needs::{needed, tools};
use crate::support::service::{Answer, Service, client};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// A pair of keys: private and public, as PEM.
struct Pair {
    algorithm: Algorithm,
    private: String,
    public: String,
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Pair {
    /// A new one. `options`: as `openssl genpkey` has them.
    fn new(algorithm: Algorithm, options: &[&str]) -> Pair {
        let folder = tempfile::tempdir().expect("a folder");
        openssl(folder.path(), &[&["genpkey", "-out", "private.pem", "-algorithm"], options].concat());
        openssl(folder.path(), &["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"]);
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("read");
        Pair { algorithm, private: read("private.pem"), public: read("public.pem") }
    }

    fn rsa() -> Pair {
        Pair::new(Algorithm::RS256, &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
    }

    fn ec() -> Pair {
        Pair::new(Algorithm::ES256, &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
    }

    fn sign(&self, claims: &Value) -> String {
        let pem = self.private.as_bytes();
        let key = match self.algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem),
            _ => EncodingKey::from_ec_pem(pem),
        };
        encode(&Header::new(self.algorithm), claims, &key.expect("a key")).expect("a token")
    }
}

/// A service that takes tokens so.
async fn service(jwt: &str) -> (Service, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("roombot.toml");
    std::fs::write(&config, format!("[jwt]\n{jwt}")).expect("written");
    (Service::start(&["--config", config.to_str().expect("UTF-8")]).await, folder)
}

fn claims(project: &str, scope: &str) -> Value {
    let exp = jiff::Timestamp::now().as_second() + 600;
    json!({ "exp": exp, "sub": "alice", "project": project, "scope": scope })
}

fn with(field: &str, value: Value) -> Value {
    let mut claims = claims("blue", "recordings:read recordings:write");
    claims[field] = value;
    claims
}

async fn list(service: &Service, token: &str) -> Answer {
    service.send(client().get(format!("{}/v1/recordings", service.url())).bearer_auth(token)).await
}

/// What both kinds of keys have in common.
async fn passes_only_what_it_signed(pair: &Pair, others: &[&Pair], service: &Service) {
    let now = jiff::Timestamp::now().as_second();
    let good = pair.sign(&claims("blue", "recordings:read recordings:write"));
    let answer = list(service, &good).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);

    let [header, payload, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let admin = pair.sign(&claims("green", "admin"));
    let admin = admin.split('.').nth(1).expect("a payload");
    // {"alg":"none"}, {"alg":"NONE","typ":"JWT"}
    let [none, loud] = ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOT05FIiwidHlwIjoiSldUIn0"];
    // What everybody knows, taken for a shared secret: with and without the line's end.
    let confused = |secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes()).expect("a key");
        encode(&Header::default(), &claims("blue", "admin"), &key).expect("a token")
    };
    let mut bad = vec![
        ("expired", pair.sign(&with("exp", json!(now - 120)))),
        ("good for too long", pair.sign(&with("exp", json!(now + 4000)))),
        ("no number", pair.sign(&with("exp", json!("soon")))),
        ("below zero", pair.sign(&with("exp", json!(-1)))),
        ("beyond all times", pair.sign(&with("exp", json!(u64::MAX)))),
        ("not yet good", pair.sign(&with("nbf", json!(now + 300)))),
        ("no project", pair.sign(&with("project", Value::Null))),
        ("a project that is none", pair.sign(&with("project", json!("../blue")))),
        ("no scope", pair.sign(&with("scope", Value::Null))),
        ("scopes that are none", pair.sign(&with("scope", json!("everything else")))),
        ("unsigned", format!("{none}.{payload}.")),
        ("unsigned, loudly", format!("{loud}.{payload}.")),
        ("unsigned, with a signature", format!("{none}.{payload}.{signature}")),
        ("another payload", format!("{header}.{admin}.{signature}")),
        ("no signature", format!("{header}.{payload}.")),
        ("confused", confused(&pair.public)),
        ("confused, trimmed", confused(pair.public.trim_end())),
        ("empty", "..".to_owned()),
        ("too long", format!("{header}.{}.{signature}", "A".repeat(9000))),
    ];
    bad.extend(others.iter().map(|other| ("another key", other.sign(&claims("blue", "admin")))));
    for (what, token) in bad {
        let refused = list(service, &token).await;
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (StatusCode::UNAUTHORIZED, &json!("key_wrong")),
            "{what}"
        );
        let detail = refused.json()["detail"].as_str().unwrap_or_default().to_owned();
        let said = match what {
            "expired" => "has expired",
            "good for too long" | "beyond all times" => "more than an hour",
            "another key" => "sign",
            _ => "token",
        };
        assert!(detail.contains(said), "{what}: {detail}");
    }
}

/// A token sees its project, and does what its scopes say.
async fn is_for_its_project(pair: &Pair, service: &Service) {
    let send = async |token: &str, request: reqwest::RequestBuilder| service.send(request.bearer_auth(token)).await;
    let at = |path: &str| format!("{}{path}", service.url());
    let blue = pair.sign(&claims("blue", "recordings:read recordings:write"));
    let green = pair.sign(&claims("green", "recordings:read recordings:write bots"));
    let body = json!({ "room_url": "ws://127.0.0.1:9/rooms/a", "start_at": "2099-01-01T00:00:00Z" });
    let made = send(&blue, client().post(at("/v1/recordings")).json(&body)).await;
    assert_eq!((made.status, &made.json()["project"]), (StatusCode::CREATED, &json!("blue")), "{}", made.text);
    let path = format!("/v1/recordings/{}", made.json()["id"].as_str().expect("an id"));
    assert_eq!(send(&blue, client().get(at(&path))).await.status, StatusCode::OK);
    assert_eq!(list(service, &green).await.json()["recordings"], json!([]));
    for request in [
        client().get(at(&path)),
        client().patch(at(&path)).json(&json!({ "legal_hold": true })),
        client().delete(at(&path)),
        client().post(at(&format!("{path}/cancel"))),
        client().post(at(&format!("{path}/links"))).json(&json!({})),
        client().get(at(&format!("{path}/archive.zip"))),
    ] {
        let other = send(&green, request).await;
        assert_eq!(
            (other.status, &other.json()["code"]),
            (StatusCode::NOT_FOUND, &json!("not_found")),
            "{}",
            other.text
        );
    }
    let reader = pair.sign(&claims("blue", "recordings:read later:scope"));
    let bot = json!({ "kind": "echo", "room_url": "ws://127.0.0.1:9/rooms/a" });
    let check = json!({ "scenario": { "name": "x" } });
    for (token, request) in [
        (&reader, client().post(at("/v1/recordings")).json(&body)),
        (&reader, client().patch(at(&path)).json(&json!({ "legal_hold": true }))),
        (&reader, client().delete(at(&path))),
        (&blue, client().post(at("/v1/bots")).json(&bot)),
        (&green, client().post(at("/v1/checks")).json(&check)),
        (&blue, client().get(at("/v1/audit"))),
        (&blue, client().post(at("/v1/keys")).json(&json!({ "name": "a", "project": "blue", "scopes": ["admin"] }))),
    ] {
        let refused = send(token, request).await;
        let told = (refused.status, refused.json()["code"].clone());
        assert_eq!(told, (StatusCode::FORBIDDEN, json!("scope_missing")), "{}", refused.text);
    }
}

#[tokio::test]
async fn a_token_that_an_rsa_key_signed_passes_and_no_other() {
    needed!(tools(&["openssl"]));
    let (pair, other, ec) = (Pair::rsa(), Pair::rsa(), Pair::ec());
    // With a secret beside: HS256 is taken then, but not with the public key for a secret.
    let secret = "0123456789abcdef0123456789abcdef";
    let (service, _folder) = service(&format!("public_key = {:?}\nsecret = {secret:?}\n", pair.public)).await;
    passes_only_what_it_signed(&pair, &[&other, &ec], &service).await;
    is_for_its_project(&pair, &service).await;
    let key = EncodingKey::from_secret(secret.as_bytes()).expect("a key");
    let shared = encode(&Header::default(), &claims("blue", "recordings:read"), &key).expect("a token");
    assert_eq!(list(&service, &shared).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_that_an_elliptic_key_signed_passes_and_no_other() {
    needed!(tools(&["openssl"]));
    let (pair, other, rsa) = (Pair::ec(), Pair::ec(), Pair::rsa());
    let (service, _folder) = service(&format!("public_key = {:?}\n", pair.public)).await;
    passes_only_what_it_signed(&pair, &[&other, &rsa], &service).await;
    is_for_its_project(&pair, &service).await;
}

#[tokio::test]
async fn what_tokens_must_say_of_issuer_and_audience_is_asked() {
    needed!(tools(&["openssl"]));
    let pair = Pair::ec();
    let more =
        format!("public_key = {:?}\nissuer = \"https://login.example.org\"\naudience = \"roombot\"\n", pair.public);
    let (service, _folder) = service(&more).await;
    let of = |issuer: Value, audience: Value| {
        let mut claims = claims("blue", "recordings:read");
        (claims["iss"], claims["aud"]) = (issuer, audience);
        pair.sign(&claims)
    };
    let (issuer, audience) = (json!("https://login.example.org"), json!("roombot"));
    assert_eq!(list(&service, &of(issuer.clone(), audience.clone())).await.status, StatusCode::OK);
    assert_eq!(list(&service, &of(issuer.clone(), json!(["a", "roombot"]))).await.status, StatusCode::OK);
    for (issuer, audience) in [
        (json!("https://login.example.com"), audience.clone()),
        (issuer.clone(), json!("others")),
        (issuer, Value::Null),
        (Value::Null, audience),
    ] {
        let refused = list(&service, &of(issuer.clone(), audience.clone())).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{issuer} {audience}");
    }
}

#[tokio::test]
async fn keys_that_cannot_check_tokens_are_refused_at_the_start() {
    needed!(tools(&["openssl"]));
    let (good, rsa) = (Pair::ec(), Pair::rsa());
    let other_curve = Pair::new(Algorithm::ES384, &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    let ed25519 = Pair::new(Algorithm::EdDSA, &["ED25519"]);
    let small = Pair::new(Algorithm::RS256, &["RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("roombot.toml");
    for (what, key, code) in [
        ("P-256", &good.public, 0),
        ("RSA", &rsa.public, 0),
        ("a small RSA key", &small.public, 2),
        ("P-384", &other_curve.public, 2),
        ("Ed25519", &ed25519.public, 2),
        ("a private key", &good.private, 2),
        ("a private RSA key", &rsa.private, 2),
    ] {
        std::fs::write(&config, format!("[jwt]\npublic_key = {key:?}\n")).expect("written");
        let path = config.to_str().expect("UTF-8");
        let outcome = run(&["serve", "--check-config", "--config", path]).await;
        assert_eq!(outcome.code, Some(code), "{what}: {outcome:?}");
        assert!(code == 0 || outcome.stderr.contains("jwt.public_key"), "{what}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("PRIVATE"), "{what}: {}", outcome.stderr);
    }
}
