//! ApiVersions: what a client asks before anything else.

use super::connection::Closed;
use super::dispatch::{Asked, Frame, SERVED};
use super::{Code, Context};
use crate::wire::messages::api_versions::{
    ApiVersion, FinalizedFeatureKey, Request, Response, SupportedFeatureKey,
};

/// The first version in whose answer features are named. Clients that ask in it read tagged fields rightly, which
/// librdkafka before 2.2.0, asking in version 3, does not: it cannot even connect if there are any.
const WITH_FEATURES: i16 = 4;

/// How a transaction is served best: 2 is KIP-890's.
const TRANSACTION_VERSION: i16 = 2;

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

/// Whoever asks in the newest version learns that transactions are those of KIP-890, which its producers then use. Nobody
/// else is sent a tagged field.
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
    let mut answer = Response {
        api_keys: keys(),
        ..Response::default()
    };
    if version >= WITH_FEATURES {
        let name = "transaction.version".to_owned();
        answer.supported_features = vec![SupportedFeatureKey {
            name: name.clone(),
            min_version: 0,
            max_version: TRANSACTION_VERSION,
        }];
        // They do not change while the broker runs.
        answer.finalized_features_epoch = 0;
        answer.finalized_features = vec![FinalizedFeatureKey {
            name,
            max_version_level: TRANSACTION_VERSION,
            min_version_level: TRANSACTION_VERSION,
        }];
    }
    answer
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
