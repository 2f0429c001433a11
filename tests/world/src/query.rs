//! The Query protocol of EC2, Auto Scaling, CloudWatch and SNS: a form comes in, XML goes out.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Answer, Refusal, Request};

/// The version of EC2's API.
pub(super) const EC2: &str = "2016-11-15";
/// The version of CloudWatch's API.
pub(super) const CLOUDWATCH: &str = "2010-08-01";
/// The version of SNS's API.
pub(super) const SNS: &str = "2010-03-31";

/// A request of the Query protocol, decoded.
#[derive(Clone, Debug)]
pub(super) struct Form {
    /// The version of the API, which tells services apart.
    pub version: String,
    /// What is asked for.
    pub action: String,
    fields: BTreeMap<String, String>,
}

impl Form {
    /// The form in a request, if it is one.
    pub(super) fn parse(request: &Request) -> Option<Self> {
        if request.target.is_some() || request.method != "POST" || request.path != "/" {
            return None;
        }
        let pairs = form_urlencoded::parse(&request.body);
        let mut fields: BTreeMap<String, String> = pairs.into_owned().collect();
        Some(Self { version: fields.remove("Version")?, action: fields.remove("Action")?, fields })
    }

    /// Whether the service is EC2, which has a dialect of its own.
    fn is_ec2(&self) -> bool {
        self.version == EC2
    }

    /// The namespace of what answers it.
    fn namespace(&self) -> String {
        let service = match self.version.as_str() {
            CLOUDWATCH => "monitoring",
            SNS => "sns",
            _ => "autoscaling",
        };
        format!("http://{service}.amazonaws.com/doc/{}/", self.version)
    }

    /// Whether it changes anything.
    pub(super) fn writes(&self) -> bool {
        !["Describe", "Get", "List"].iter().any(|verb| self.action.starts_with(verb))
    }

    /// Returns all fields.
    pub(super) fn fields(&self) -> Value {
        self.fields.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect()
    }

    /// A field's value; empty when there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        self.fields.get(key).map_or("", String::as_str)
    }

    /// A field that must be there.
    pub(super) fn required(&self, key: &str) -> Result<&str, Refusal> {
        let code = if self.is_ec2() { "MissingParameter" } else { "ValidationError" };
        let absent = || Refusal::new(code, format!("The request must contain the parameter {key}"));
        Some(self.text(key)).filter(|value| !value.is_empty()).ok_or_else(absent)
    }

    /// A number; nothing when it is absent or none.
    pub(super) fn number(&self, key: &str) -> Option<usize> {
        self.text(key).parse().ok()
    }

    /// The values of `<prefix>.1`, `<prefix>.2`, …
    pub(super) fn list(&self, prefix: &str) -> Vec<&str> {
        (1..).map_while(|n| self.fields.get(&format!("{prefix}.{n}"))).map(String::as_str).collect()
    }

    /// The filters: (name, values), of which one must fit.
    pub(super) fn filters(&self) -> Vec<(&str, Vec<&str>)> {
        let (prefix, values) = if self.is_ec2() { ("Filter", "Value") } else { ("Filters.member", "Values.member") };
        let names = (1..).map_while(|n| Some((n, self.fields.get(&format!("{prefix}.{n}.Name"))?)));
        names.map(|(n, name)| (name.as_str(), self.list(&format!("{prefix}.{n}.{values}")))).collect()
    }

    /// The answer to an accepted request.
    pub(super) fn accepted(&self, value: &Value) -> Answer {
        let action = &self.action;
        let body = if self.is_ec2() {
            let body = format!("<requestId>r</requestId>{}", xml(value, "item"));
            format!("<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">{body}</{action}Response>")
        } else {
            let result = format!("<{action}Result>{}</{action}Result>", xml(value, "member"));
            let body = format!("{result}<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>");
            format!("<{action}Response xmlns=\"{}\">{body}</{action}Response>", self.namespace())
        };
        Answer::ok(body)
    }

    /// A refusal as the service words it. What every service refuses for is called differently by each.
    pub(super) fn refused(&self, code: &str, message: &str) -> Answer {
        let (status, code) = match (self.is_ec2(), code) {
            (true, "ThrottlingException") => (503, "RequestLimitExceeded"),
            (_, "ThrottlingException") => (400, "Throttling"),
            (true, "AccessDenied" | "AccessDeniedException") => (403, "UnauthorizedOperation"),
            (_, "AccessDenied" | "AccessDeniedException") if self.version == SNS => (403, "AuthorizationError"),
            (_, "AccessDenied" | "AccessDeniedException") => (403, "AccessDenied"),
            (false, "NotFound" | "ResourceNotFoundException") => (404, code),
            (_, code) => (400, code),
        };
        let said = format!("<Code>{code}</Code><Message>{}</Message>", quick_xml::escape::escape(message));
        let body = if self.is_ec2() {
            format!("<Response><Errors><Error>{said}</Error></Errors><RequestID>r</RequestID></Response>")
        } else {
            let error = format!("<Error><Type>Sender</Type>{said}</Error><RequestId>r</RequestId>");
            format!("<ErrorResponse xmlns=\"{}\">{error}</ErrorResponse>", self.namespace())
        };
        Answer { status, ..Answer::ok(body) }
    }
}

/// A value as XML: the keys of an object are elements, the entries of a list elements of one name.
fn xml(value: &Value, entry: &str) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => quick_xml::escape::escape(text).into_owned(),
        Value::Array(entries) => entries.iter().map(|value| element(entry, value, entry)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            fields.map(|(key, value)| element(key, value, entry)).collect()
        }
        other => other.to_string(),
    }
}

fn element(name: &str, value: &Value, entry: &str) -> String {
    format!("<{name}>{}</{name}>", xml(value, entry))
}

/// The same answer without the token of the page that follows.
pub(super) fn without_token(body: &str) -> String {
    ["NextToken", "nextToken"].iter().fold(body.to_owned(), |body, tag| {
        let cut = body.split_once(&format!("<{tag}>")).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(&format!("</{tag}>"))?;
            Some(format!("{before}{after}"))
        });
        cut.unwrap_or(body)
    })
}
