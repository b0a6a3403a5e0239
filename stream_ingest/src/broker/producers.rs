//! Producers that number their batches: InitProducerId.

use super::{Code, Context};
use crate::wire::messages::init_producer_id::{Request, Response};

/// A number for an idempotent producer. One that wants transactions is told that there are none.
pub(crate) async fn init(context: &Context, _: i16, request: Request) -> Response {
    let given = match request.transactional_id {
        Some(_) => Err(Code::TransactionalIdAuthorizationFailed),
        None => context.log().init_producer_id().await.map_err(Code::from),
    };
    Response {
        error_code: given.err().unwrap_or(Code::None).number(),
        producer_id: given.unwrap_or(-1),
        producer_epoch: if given.is_ok() { 0 } else { -1 },
        ..Response::default()
    }
}
