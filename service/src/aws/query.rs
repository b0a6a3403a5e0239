//! AWS's query protocol, for what SageMaker's clients ask of STS and IAM on their way: who they are, and whether a role may be
//! used. Every caller is one role of the one account, and may do everything.
//!
//! A request is a form with its `Action`; answers are XML. Source: the API references of STS (2011-06-15) and IAM (2010-05-08).

use super::OperationName;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use escala_sagemaker::Caller;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// The role that callers have.
const ROLE: &str = "escala";
/// The session that they have it in.
const SESSION: &str = "session";
/// The id of the role, in the form that AWS's have.
const ROLE_ID: &str = "AROAESCALAESCALAESCAL";
/// How long credentials last that are given out; nothing asks for them.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Most parameters of a form.
const MOST: usize = 1000;

/// Whether a request speaks the query protocol: a form and no target.
pub fn is_query(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    !headers.contains_key("x-amz-target")
        && kind.is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

/// The operations, and the namespace of their answers.
const OPERATIONS: [(&str, &str, &str); 5] = [
    ("sts", "GetCallerIdentity", STS),
    ("sts", "AssumeRole", STS),
    ("sts", "GetSessionToken", STS),
    ("iam", "GetRole", IAM),
    ("iam", "SimulatePrincipalPolicy", IAM),
];
const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const IAM: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// Answers one request.
pub fn answer(caller: &Caller, body: &[u8], id: &str, name: &mut OperationName) -> Response {
    let form = Form::read(body);
    let action = form.get("Action").unwrap_or_default();
    let known = OPERATIONS
        .iter()
        .find(|(_, operation, _)| *operation == action);
    let Some((service, operation, namespace)) = known else {
        let message = format!("The action {action} is not valid for this web service.");
        return refused(id, "InvalidAction", &message);
    };
    *name = OperationName { service, operation };
    match result(caller, operation, &form) {
        Ok(result) => {
            let id = escaped(id);
            let body = format!(
                "<{operation}Response xmlns=\"{namespace}\"><{operation}Result>{result}</{operation}Result>\
                 <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{operation}Response>"
            );
            respond(StatusCode::OK, body, &id)
        }
        Err(missing) => refused(
            id,
            "ValidationError",
            &format!(
                "1 validation error detected: Value at '{missing}' failed to satisfy constraint: Member must not be null"
            ),
        ),
    }
}

/// What is in an answer; the parameter that is missing where one is.
fn result(caller: &Caller, operation: &str, form: &Form) -> Result<String, &'static str> {
    let account = &caller.account;
    Ok(match operation {
        "GetCallerIdentity" => format!(
            "<Arn>arn:aws:sts::{account}:assumed-role/{ROLE}/{SESSION}</Arn>\
             <UserId>{ROLE_ID}:{SESSION}</UserId><Account>{account}</Account>"
        ),
        "AssumeRole" => {
            let role = form.get("RoleArn").ok_or("roleArn")?;
            let session = form.get("RoleSessionName").ok_or("roleSessionName")?;
            let role = role.rsplit('/').next().unwrap_or(role);
            let (role, session) = (escaped(role), escaped(session));
            format!(
                "{}<AssumedRoleUser><Arn>arn:aws:sts::{account}:assumed-role/{role}/{session}</Arn>\
                 <AssumedRoleId>{ROLE_ID}:{session}</AssumedRoleId></AssumedRoleUser>",
                credentials()
            )
        }
        "GetSessionToken" => credentials(),
        "GetRole" => {
            let role = escaped(form.get("RoleName").ok_or("roleName")?);
            // Whom the role trusts, as IAM has it: encoded as in an address.
            let trust = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22sagemaker.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D";
            format!(
                "<Role><Path>/</Path><RoleName>{role}</RoleName><RoleId>{ROLE_ID}</RoleId>\
                 <Arn>arn:aws:iam::{account}:role/{role}</Arn><CreateDate>2020-01-01T00:00:00Z</CreateDate>\
                 <AssumeRolePolicyDocument>{trust}</AssumeRolePolicyDocument><MaxSessionDuration>43200</MaxSessionDuration></Role>"
            )
        }
        _ => {
            form.get("PolicySourceArn").ok_or("policySourceArn")?;
            let mut members = String::new();
            for action in form.list("ActionNames") {
                // Writing to text cannot fail.
                let _ = write!(
                    members,
                    "<member><EvalActionName>{}</EvalActionName><EvalResourceName>*</EvalResourceName>\
                     <EvalDecision>allowed</EvalDecision></member>",
                    escaped(action)
                );
            }
            format!(
                "<EvaluationResults>{members}</EvaluationResults><IsTruncated>false</IsTruncated>"
            )
        }
    })
}

/// Credentials that are as good as any: no signature is looked at.
fn credentials() -> String {
    let ends = s3s::dto::Timestamp::from(SystemTime::now() + LASTS);
    let mut text = Vec::new();
    let written = ends.format(s3s::dto::TimestampFormat::DateTime, &mut text);
    let ends = match written {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => "2100-01-01T00:00:00Z".to_owned(),
    };
    format!(
        "<Credentials><AccessKeyId>ASIAESCALAESCALAESCA</AccessKeyId><SecretAccessKey>any</SecretAccessKey>\
         <SessionToken>any</SessionToken><Expiration>{ends}</Expiration></Credentials>"
    )
}

fn refused(id: &str, code: &str, message: &str) -> Response {
    let id = escaped(id);
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{}</Message></Error>\
         <RequestId>{id}</RequestId></ErrorResponse>",
        escaped(message)
    );
    respond(StatusCode::BAD_REQUEST, body, &id)
}

fn respond(status: StatusCode, body: String, id: &str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

/// Text as XML has it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no words for these.
            one if one.is_control() => escaped.push(' '),
            one => escaped.push(one),
        }
    }
    escaped
}

/// The parameters of a form.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(body: &[u8]) -> Self {
        let pairs = body.split(|byte| *byte == b'&').take(MOST).map(|pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let mut part = || decoded(parts.next().unwrap_or_default());
            (part(), part())
        });
        Self(pairs.collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(one, _)| one == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// `Name.member.1`, `Name.member.2`, …
    fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let own = move |pair: &'a (String, String)| {
            let rest = pair.0.strip_prefix(name)?.strip_prefix(".member.")?;
            rest.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(&*pair.1)
        };
        self.0.iter().filter_map(own)
    }
}

/// Text of a form: `+` is a space, `%41` an A.
fn decoded(text: &[u8]) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let digits = (text.get(at + 1).copied(), text.get(at + 2).copied());
        match (byte, digits) {
            (b'+', _) => bytes.push(b' '),
            (b'%', (Some(high), Some(low))) => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => {
                    bytes.push((high * 16 + low) as u8);
                    at += 2;
                }
                _ => bytes.push(byte),
            },
            _ => bytes.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn asked(form: &str) -> (StatusCode, String, &'static str) {
        let caller = Caller {
            account: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let mut name = OperationName {
            service: "aws",
            operation: "unknown",
        };
        let answer = answer(&caller, form.as_bytes(), "id-1", &mut name);
        let status = answer.status();
        assert_eq!(answer.headers()["x-amzn-requestid"], "id-1");
        let body = answer.into_body().collect().await.expect("body").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("text");
        (status, text, name.operation)
    }

    #[tokio::test]
    async fn callers_are_told_who_they_are() {
        let (status, text, operation) = asked("Action=GetCallerIdentity&Version=2011-06-15").await;
        assert_eq!((status, operation), (StatusCode::OK, "GetCallerIdentity"));
        assert!(text.contains("<Arn>arn:aws:sts::123456789012:assumed-role/escala/session</Arn>"));
        let form =
            "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fmine&RoleSessionName=a+b";
        let (_, text, _) = asked(form).await;
        assert!(text.contains(":assumed-role/mine/a b</Arn>"), "{text}");
        let (status, text, _) = asked("Action=AssumeRole&RoleArn=x").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(text.contains("roleSessionName"), "{text}");
    }

    #[tokio::test]
    async fn roles_are_trusted_and_may_do_everything() {
        let (_, text, _) = asked("Action=GetRole&RoleName=a%3Cb").await;
        assert!(text.contains("<RoleName>a&lt;b</RoleName>"), "{text}");
        let form = "Action=SimulatePrincipalPolicy&PolicySourceArn=x&ActionNames.member.1=s3%3AGetObject&ActionNames.member.2=a";
        let (_, text, _) = asked(form).await;
        assert_eq!(
            text.matches("<EvalDecision>allowed</EvalDecision>").count(),
            2
        );
        assert!(text.contains("<EvalActionName>s3:GetObject</EvalActionName>"));
    }

    #[tokio::test]
    async fn what_is_not_there_is_refused() {
        for form in ["", "Action=DeleteUser", "Action=%", "&&=&%zz=%"] {
            let (status, text, operation) = asked(form).await;
            assert_eq!(
                (status, operation),
                (StatusCode::BAD_REQUEST, "unknown"),
                "{form}"
            );
            assert!(text.contains("<Code>InvalidAction</Code>"), "{text}");
        }
    }
}
