use cluster_lambda::{
    Aws, Failure,
    env::Lookup,
    signed::{Call, Error, Response, Service, Signed},
};
use serde::Deserialize;

/// The version of EC2's API.
const VERSION: &str = "2016-11-15";
/// EC2, which answers in XML.
pub(crate) const EC2: Service = Service { name: "ec2", variable: "EC2", refusal };

/// A client of EC2's Query API.
#[derive(Clone, Debug)]
pub(crate) struct Ec2(pub(crate) Signed);

impl Ec2 {
    /// Makes a client that reaches EC2 as the SDK's own would. Refuses where no endpoint is known.
    pub(crate) fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        Signed::new(EC2, lookup, aws).map(Self)
    }

    /// Calls an operation and returns the body of EC2's answer. Retries what may succeed a moment later, so the
    /// operation must allow to be repeated.
    pub(crate) async fn call(&self, operation: &str, parameters: &[(&str, &str)]) -> Result<String, Error> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", operation).append_pair("Version", VERSION).extend_pairs(parameters);
        let form = form.finish();
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let answer = self.0.call(Call::new(operation, "", &headers, form.as_bytes())).await?;
        Ok(answer.text())
    }
}

/// EC2's answer when it refuses.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    errors: Errors,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Errors {
    error: RefusalError,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RefusalError {
    code: String,
    #[serde(default)]
    message: String,
}

/// Reads the refusal in an answer.
fn refusal(response: &Response) -> Option<(String, String)> {
    let Refusal { errors: Errors { error } } = quick_xml::de::from_str(&response.text()).ok()?;
    Some((error.code, error.message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cluster_lambda::aws::{ATTEMPT_TIMEOUT, CALL_TIMEOUT};
    use tokio::time::Instant;

    use super::*;
    use crate::stub::Answers;

    const TAKEN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
        <Response><Errors><Error><Code>VolumeInUse</Code><Message>vol-1 is already attached to an instance</Message></Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"#;
    const BUSY: &str = "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message></Error></Errors><RequestID>r</RequestID></Response>";

    async fn call(answers: &[(u16, &'static str)]) -> (Result<String, Error>, Vec<String>) {
        let answers = Answers::new(answers);
        let result = answers.ec2().call("DescribeVolumes", &[("NextToken", "a+b/c=")]).await;
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
}
