//! What is given out, as what, and what is not.

use super::*;
use axum::http::StatusCode;
use std::os::unix::fs::symlink;

async fn get(folder: &Path, target: &str, range: Option<&str>) -> Option<Response> {
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request::builder().uri(format!("/{target}"));
    if let Some(range) = range {
        request = request.header(header::RANGE, range);
    }
    Media::default().serve(folder, path, request.body(Body::empty()).unwrap()).await
}

fn header_of<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("r/files/bob")).unwrap();
    std::fs::create_dir_all(dir.path().join("r/tracks")).unwrap();
    std::fs::write(dir.path().join("secret.json"), "{}").unwrap();
    for file in ["manifest.json", "files/bob/page.html", "files/bob/film.mp4", "files/bob/x.part", ".hidden.json"] {
        std::fs::write(dir.path().join("r").join(file), "0123456789").unwrap();
    }
    dir
}

#[tokio::test]
async fn only_plain_files_of_the_recording_are_given_out() {
    let dir = folder();
    let recording = dir.path().join("r");
    symlink(dir.path().join("secret.json"), recording.join("link.json")).unwrap();
    symlink(dir.path(), recording.join("up")).unwrap();
    for wrong in [
        "../secret.json",
        "files/../../secret.json",
        "/etc/passwd",
        "files//bob/film.mp4",
        "./manifest.json",
        ".hidden.json",
        "files/bob/x.part",
        "files/bob",
        "files/",
        "",
        "link.json",
        "up/secret.json",
        "files\\bob",
        "none.json",
    ] {
        let request = Request::builder().uri("/").body(Body::empty()).unwrap();
        assert!(Media::default().serve(&recording, wrong, request).await.is_none(), "{wrong:?}");
    }
    assert!(get(&recording, "manifest.json", None).await.is_some());
}

#[tokio::test]
async fn what_participants_sent_is_a_download_and_never_a_page() {
    let dir = folder();
    let recording = dir.path().join("r");
    for file in ["files/bob/page.html", "files/bob/film.mp4"] {
        let response = get(&recording, file, None).await.unwrap();
        assert_eq!(header_of(&response, "content-type"), "application/octet-stream", "{file}");
        assert!(header_of(&response, "content-disposition").starts_with("attachment; filename*=UTF-8''"), "{file}");
        assert_eq!(header_of(&response, "x-content-type-options"), "nosniff");
        assert!(header_of(&response, "content-security-policy").starts_with("sandbox;"));
    }
    let own = get(&recording, "manifest.json", None).await.unwrap();
    assert_eq!((header_of(&own, "content-type"), header_of(&own, "content-disposition")), ("application/json", ""));
    assert_eq!(header_of(&own, "x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn ranges_are_answered_and_players_get_pieces() {
    let dir = folder();
    let recording = dir.path().join("r");
    let part = get(&recording, "manifest.json", Some("bytes=2-4")).await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(header_of(&part, "content-range"), "bytes 2-4/10");
    let beyond = get(&recording, "manifest.json", Some("bytes=20-")).await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);

    std::fs::write(recording.join("tracks/a.camera.1.webm"), vec![0; 3 << 20]).unwrap();
    let of = async |target, range| {
        let response = get(&recording, target, Some(range)).await.unwrap();
        header_of(&response, "content-range").to_owned()
    };
    let size = 3 << 20;
    assert_eq!(of("tracks/a.camera.1.webm", "bytes=5-").await, format!("bytes 5-{}/{size}", size - 1));
    assert_eq!(of("tracks/a.camera.1.webm?play", "bytes=5-").await, format!("bytes 5-{}/{size}", (1 << 20) + 4));
    assert_eq!(of("tracks/a.camera.1.webm?play", "bytes=5-8").await, format!("bytes 5-8/{size}"));
    // A file that grows is the same in all pieces.
    assert_eq!(of("tracks/a.camera.1.webm?play&length=2000000", "bytes=5-").await, "bytes 5-1048580/2000000");
    assert_eq!(
        of("tracks/a.camera.1.webm?play&length=2000000", "bytes=1900000-").await,
        "bytes 1900000-1999999/2000000"
    );
    let beyond = get(&recording, "tracks/a.camera.1.webm?play&length=2000000", Some("bytes=2000000-")).await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let last = size - 100;
    let rest = format!("bytes={last}-");
    assert_eq!(of("tracks/a.camera.1.webm?play", &rest).await, format!("bytes {last}-{}/{size}", size - 1));
}
