//! What all addresses have in common in the description of the API.

use super::problem::Problem;
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

/// Answers that any address may give that wants a key: status, and when.
const WITH_KEY: [(&str, &str); 3] = [
    ("401", "No key, or one that is unknown, revoked or expired."),
    ("403", "The key lacks the scope."),
    ("429", "The key has asked too often; `Retry-After` says when again."),
];
/// Answers that any address may give.
const ALWAYS: [(&str, &str); 2] = [
    ("400", "The request, or a part of its address, cannot be read."),
    ("503", "The service cannot answer now; `Retry-After` says when again."),
];
/// Answers that any address may give that takes a body.
const WITH_BODY: [(&str, &str); 3] = [
    ("413", "The body is larger than 256 KiB."),
    ("415", "The body is no JSON."),
    ("422", "A field cannot be used; `field` names it."),
];

/// Adds the answers that addresses do not name themselves. All of them are problem details (RFC 9457).
pub(super) fn with_common_answers(mut api: OpenApi) -> OpenApi {
    let components = api.components.get_or_insert_default();
    components.schemas.entry(Problem::name().into_owned()).or_insert_with(Problem::schema);
    // OpenAPI has no word for the rest of an address: `{*path}` is one parameter there, too.
    let paths = std::mem::take(&mut api.paths.paths).into_iter();
    api.paths.paths = paths.map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    for item in api.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            // `security(())` is a list of nothing.
            let is_open = operation.security.is_some();
            let mut common = ALWAYS.to_vec();
            common.extend(WITH_KEY.iter().filter(|_| !is_open));
            common.extend(WITH_BODY.iter().filter(|_| operation.request_body.is_some()));
            for (status, description) in common {
                operation.responses.responses.entry(status.to_owned()).or_insert_with(|| {
                    let content = Content::new(Some(Ref::from_schema_name(Problem::name())));
                    let response = ResponseBuilder::new().description(description);
                    RefOr::T(response.content(PROBLEM, content).build())
                });
            }
            // Those that an address names itself are of that type, too.
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && status.starts_with(['4', '5'])
                    && let Some(content) = response.content.shift_remove("application/json")
                {
                    response.content.insert(PROBLEM.to_owned(), content);
                }
            }
        }
    }
    api
}

/// The media type of problem details.
const PROBLEM: &str = "application/problem+json";
