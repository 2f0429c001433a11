//! AWS's Query API, which EC2, CloudWatch and SNS speak: a form goes out, and XML comes back.

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    Aws, Failure,
    env::Lookup,
    signed::{Call, Error, Response, Service, Signed},
};

/// A service of the Query API.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// Its name for people.
    title: &'static str,
    /// The version of its API.
    version: &'static str,
    /// How it is signed and found.
    pub service: Service,
}

/// EC2.
pub const EC2: Api =
    Api { title: "EC2", version: "2016-11-15", service: Service { name: "ec2", variable: "EC2", refusal } };
/// CloudWatch, which signs as `monitoring`.
pub const CLOUDWATCH: Api = Api {
    title: "CloudWatch",
    version: "2010-08-01",
    service: Service { name: "monitoring", variable: "CLOUDWATCH", refusal },
};

/// SNS.
pub const SNS: Api =
    Api { title: "SNS", version: "2010-03-31", service: Service { name: "sns", variable: "SNS", refusal } };

/// A client of one service.
#[derive(Clone, Debug)]
pub struct Query {
    /// The service.
    pub api: Api,
    /// What signs and sends its requests.
    pub signed: Signed,
}

impl Query {
    /// Makes a client that reaches the service as the SDK's own would. Refuses where no endpoint is known.
    pub fn new(api: Api, lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Ok(Self { api, signed: Signed::new(api.service, lookup, aws)? })
    }

    /// Calls an operation and returns the body of the answer. Retries what may succeed a moment later, so the operation must
    /// allow to be repeated.
    pub async fn call<N: AsRef<str>, V: AsRef<str>>(
        &self,
        operation: &str,
        parameters: &[(N, V)],
    ) -> Result<String, Error> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", operation).append_pair("Version", self.api.version);
        form.extend_pairs(parameters);
        let form = form.finish();
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let answer = self.signed.call(Call::new(operation, "", &headers, form.as_bytes())).await?;
        Ok(answer.text())
    }

    /// Reads an answer to a call that was made for this step.
    pub fn read<T: DeserializeOwned>(&self, answer: &str, step: &str) -> Result<T, Failure> {
        quick_xml::de::from_str(answer).map_err(|error| {
            let why = format!("{}'s answer is unreadable: {error}", self.api.title);
            Failure::transient(format!("could not {step}")).caused_by(why)
        })
    }
}

/// A refusal. EC2 puts it into a list of errors, CloudWatch does not (API references of both, «Common Errors»).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    errors: Option<Errors>,
    error: Option<Refused>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Errors {
    error: Refused,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refused {
    code: String,
    #[serde(default)]
    message: String,
}

/// Reads the refusal in an answer.
fn refusal(response: &Response) -> Option<(String, String)> {
    let Refusal { errors, error } = quick_xml::de::from_str(&response.text()).ok()?;
    let Refused { code, message } = errors.map(|errors| errors.error).or(error)?;
    Some((code, message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::{
        aws::{ATTEMPT_TIMEOUT, CALL_TIMEOUT},
        stub::Answers,
    };

    const TAKEN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
        <Response><Errors><Error><Code>VolumeInUse</Code><Message>vol-1 is already attached to an instance</Message></Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"#;
    const BUSY: &str = "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message></Error></Errors><RequestID>r</RequestID></Response>";

    async fn call(answers: &[(u16, &'static str)]) -> (Result<String, Error>, Vec<String>) {
        let answers = Answers::new(answers);
        let result = answers.client(EC2).call("DescribeVolumes", &[("NextToken", "a+b/c=")]).await;
        let requests = answers.requests.lock().unwrap();
        let sent = requests.iter().map(|request| {
            let signature = request.headers().get("authorization").unwrap();
            assert!(signature.contains("/20261123/eu-west-1/ec2/aws4_request"), "{signature}");
            assert_eq!(request.headers().get("x-amz-security-token"), Some("token"));
            String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap()
        });
        (result, sent.collect())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_three_times_and_a_refusal_once() {
        let form = "Action=DescribeVolumes&Version=2016-11-15&NextToken=a%2Bb%2Fc%3D";
        let (result, sent) = call(&[(503, BUSY), (503, BUSY), (200, "<ok/>")]).await;
        assert_eq!((result.unwrap().as_str(), sent.as_slice()), ("<ok/>", [form; 3].map(str::to_owned).as_slice()));
        let (result, sent) = call(&[(503, BUSY)]).await;
        assert_eq!(result.unwrap_err().to_string(), "RequestLimitExceeded: Request limit exceeded.");
        assert_eq!(sent.len(), 3);
        let (result, sent) = call(&[(400, TAKEN)]).await;
        let error = result.unwrap_err();
        assert_eq!(error.code(), Some("VolumeInUse"));
        assert_eq!(error.to_string(), "VolumeInUse: vol-1 is already attached to an instance");
        assert_eq!(sent.len(), 1);
        let (result, _) = call(&[(502, "<html>Bad gateway</html>")]).await;
        assert_eq!(result.unwrap_err().to_string(), "response 502: <html>Bad gateway</html>");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_times_out_and_all_of_them_end_in_time() {
        let began = Instant::now();
        let (result, _) = call(&[(0, ""), (200, "<ok/>")]).await;
        assert_eq!(result.unwrap(), "<ok/>");
        assert!((ATTEMPT_TIMEOUT..ATTEMPT_TIMEOUT + Duration::from_secs(1)).contains(&began.elapsed()));
        let began = Instant::now();
        let (result, _) = call(&[(0, "")]).await;
        assert!(matches!(result, Err(Error::TooSlow(_))));
        assert_eq!(began.elapsed(), CALL_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_each_service_is_read_as_it_documents_it() {
        let refused =
            "<Error><Type>Sender</Type><Code>InvalidParameterValue</Code><Message>StartTime is late</Message></Error>";
        let alone = format!("<ErrorResponse>{refused}<RequestId>r</RequestId></ErrorResponse>");
        let listed = format!("<Response><Errors>{refused}</Errors><RequestID>r</RequestID></Response>");
        for (api, answer) in [(CLOUDWATCH, alone), (EC2, listed)] {
            let client = Answers::new(&[(400, &answer)]).client(api);
            let error = client.call::<&str, &str>("GetMetricData", &[]).await.unwrap_err();
            assert_eq!(
                (error.code(), error.to_string().as_str()),
                (Some("InvalidParameterValue"), "InvalidParameterValue: StartTime is late")
            );
        }
    }
}
