//! ApiVersions: what a client asks before anything else.

use super::connection::Closed;
use super::dispatch::{Asked, Frame, SERVED};
use super::{Code, Context};
use crate::wire::messages::api_versions::{ApiVersion, Request, Response};

fn keys() -> Vec<ApiVersion> {
    SERVED
        .iter()
        .map(|(api, min_version, max_version)| ApiVersion {
            api_key: *api as i16,
            min_version: *min_version,
            max_version: *max_version,
        })
        .collect()
}

/// No tagged fields are in the answer: librdkafka before 2.2.0 reads them wrongly.
pub(crate) async fn answer(_: &Context, version: i16, request: Request) -> Response {
    let named = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric();
        name.bytes()
            .all(|byte| plain(byte) || byte == b'-' || byte == b'.')
            && name.bytes().next().is_some_and(plain)
            && name.bytes().next_back().is_some_and(plain)
    };
    let named = named(&request.client_software_name) && named(&request.client_software_version);
    if version >= 3 && !named {
        return Response {
            error_code: Code::InvalidRequest.number(),
            ..Response::default()
        };
    }
    Response {
        api_keys: keys(),
        ..Response::default()
    }
}

/// A client from the future learns which versions there are in the one form that all clients read.
pub(crate) fn unknown_version(asked: Asked) -> Result<Frame, Closed> {
    let answer = Response {
        error_code: Code::UnsupportedVersion.number(),
        api_keys: keys(),
        ..Response::default()
    };
    Asked {
        version: 0,
        ..asked
    }
    .frame(&answer)
}
