//! The responses of the endpoint. Pure, but for taking the snapshot.
//!
//! In: method and path. Out: a response. A request's body is ignored.

use hyper::{
    Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};

use super::{inspect::Inspect, metrics};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The Prometheus text format.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) fn answer(method: &Method, path: &str, of: &impl Inspect) -> Response<String> {
    let known = matches!(path, "/status" | "/metrics" | "/healthz");
    if !known {
        let which = "there is /status, /metrics and /healthz\n";
        return response(StatusCode::NOT_FOUND, TEXT, which.to_owned());
    }
    if method != Method::GET && method != Method::HEAD {
        let only = "GET and HEAD only\n".to_owned();
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, only);
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    let snapshot = of.snapshot();
    match path {
        "/status" => match serde_json::to_string(&snapshot) {
            Ok(json) => response(StatusCode::OK, JSON, json + "\n"),
            Err(error) => response(
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                format!("{error}\n"),
            ),
        },
        "/metrics" => response(StatusCode::OK, METRICS, metrics::prometheus(&snapshot)),
        _ => match snapshot.health() {
            Ok(()) => response(StatusCode::OK, TEXT, "ok\n".to_owned()),
            Err(reason) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
        },
    }
}

fn response(status: StatusCode, content_type: HeaderValue, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::{
        super::snapshot::{
            Snapshot, Standing,
            tests::{ALL, example},
        },
        *,
    };

    #[test]
    fn each_request_has_its_answer() {
        let json = serde_json::to_string(&example()).unwrap() + "\n";
        for (method, path, status, start) in [
            (Method::GET, "/status", 200, json.as_str()),
            (Method::HEAD, "/status", 200, json.as_str()),
            (Method::GET, "/metrics", 200, "# HELP "),
            (Method::GET, "/healthz", 200, "ok\n"),
            (Method::GET, "/", 404, "there is "),
            (Method::GET, "/status/", 404, "there is "),
            (Method::POST, "/nothing", 404, "there is "),
            (Method::POST, "/status", 405, "GET "),
            (Method::DELETE, "/healthz", 405, "GET "),
        ] {
            let answer = answer(&method, path, &example);
            assert_eq!(answer.status(), status, "{method} {path}");
            assert!(
                answer.body().starts_with(start),
                "{method} {path}: {answer:?}"
            );
            assert_eq!(answer.headers().contains_key(ALLOW), status == 405);
        }
    }

    #[test]
    fn health_is_200_or_503_with_the_reason() {
        for (standing, well) in ALL {
            let of = || Snapshot::new(standing, "x");
            let answer = answer(&Method::GET, "/healthz", &of);
            assert_eq!(
                answer.status(),
                if well { 200 } else { 503 },
                "{standing:?}"
            );
            assert_eq!(answer.body() == "ok\n", well);
        }
        let answer = answer(&Method::GET, "/healthz", &|| {
            Snapshot::new(Standing::Reconnecting, "x")
        });
        assert_eq!(
            answer.body(),
            "reconnecting: neither listening nor connected\n"
        );
    }
}
