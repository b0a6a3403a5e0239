//! Access control lists: there are none, and whoever asks is told that.

use super::{Code, Context};
use crate::wire::messages::{create_acls, delete_acls, describe_acls};

const CODE: i16 = Code::SecurityDisabled as i16;

fn words() -> Option<String> {
    Some("there is no authorizer: whoever reaches the port may do everything".to_owned())
}

/// DescribeAcls.
pub(crate) async fn describe(
    _: &Context,
    _: i16,
    _: describe_acls::Request,
) -> describe_acls::Response {
    describe_acls::Response {
        error_code: CODE,
        error_message: words(),
        ..describe_acls::Response::default()
    }
}

/// CreateAcls.
pub(crate) async fn create(
    _: &Context,
    _: i16,
    request: create_acls::Request,
) -> create_acls::Response {
    let refused = |_| create_acls::AclCreationResult {
        error_code: CODE,
        error_message: words(),
    };
    create_acls::Response {
        results: request.creations.iter().map(refused).collect(),
        ..create_acls::Response::default()
    }
}

/// DeleteAcls.
pub(crate) async fn delete(
    _: &Context,
    _: i16,
    request: delete_acls::Request,
) -> delete_acls::Response {
    let refused = |_| delete_acls::DeleteAclsFilterResult {
        error_code: CODE,
        error_message: words(),
        ..delete_acls::DeleteAclsFilterResult::default()
    };
    delete_acls::Response {
        filter_results: request.filters.iter().map(refused).collect(),
        ..delete_acls::Response::default()
    }
}
