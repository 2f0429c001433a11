use std::collections::BTreeSet;

use cluster_core::alert::Tree;
use cluster_lambda::{
    Failure,
    env::{self, Lookup},
};

/// The configuration of the function, read once at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The dimension of the metrics.
    pub cluster: String,
    /// The name of the function itself.
    pub function: String,
    /// The name of the `DynamoDB` table.
    pub state_table: String,
    /// Where alerts can go.
    pub destinations: Destinations,
    /// Whom an alert goes to.
    pub tree: Tree,
    /// Why the routes in the environment are refused. Then the standard ones are taken, so that nothing is lost.
    pub refused: Option<String>,
}

/// Where alerts can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destinations {
    /// The ARN of the topic of whoever is woken.
    pub page: String,
    /// The ARN of the topic of whoever reads it later.
    pub notify: Option<String>,
    /// The ARN of the secret that holds the URL of an incoming webhook of Slack, or several by name.
    pub slack: Option<String>,
    /// The ARN of the secret that holds an integration key of `PagerDuty`, or several by name.
    pub pagerduty: Option<String>,
    /// The URL of `PagerDuty`'s Events API.
    pub pagerduty_url: String,
    /// The ARN of the secret that holds the URL and the signing secret of a webhook, or several by name.
    pub webhook: Option<String>,
}

impl Destinations {
    /// Returns the names that routes may use.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let optional = [
            ("notify", &self.notify),
            ("slack", &self.slack),
            ("pagerduty", &self.pagerduty),
            ("webhook", &self.webhook),
        ];
        let known = optional.into_iter().filter(|(_, arn)| arn.is_some()).map(|(name, _)| name);
        std::iter::once("page").chain(known).map(str::to_owned).collect()
    }

    /// Reads routes, or returns the standard ones where none are written.
    pub fn routes(&self, text: &str) -> Result<Tree, String> {
        let names = self.names();
        if text.trim().is_empty() {
            return Ok(Tree::standard(&names));
        }
        Tree::read(text, &names).map_err(|refused| refused.to_string())
    }
}

impl Config {
    /// Reads the environment. Refuses the first variable that is missing or wrong, by name and value; but for wrong routes, which the
    /// custom resource refuses at the deployment.
    pub fn read(lookup: &impl Lookup) -> Result<Self, Failure> {
        let optional = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let destinations = Destinations {
            page: topic("PAGE_TOPIC_ARN", env::required(lookup, "PAGE_TOPIC_ARN")?)?,
            notify: optional("NOTIFY_TOPIC_ARN").map(|arn| topic("NOTIFY_TOPIC_ARN", arn)).transpose()?,
            slack: optional("SLACK_SECRET_ARN").map(|arn| secret("SLACK_SECRET_ARN", arn)).transpose()?,
            pagerduty: optional("PAGERDUTY_SECRET_ARN").map(|arn| secret("PAGERDUTY_SECRET_ARN", arn)).transpose()?,
            pagerduty_url: env::required(lookup, "PAGERDUTY_URL")?,
            webhook: optional("WEBHOOK_SECRET_ARN").map(|arn| secret("WEBHOOK_SECRET_ARN", arn)).transpose()?,
        };
        let (tree, refused) = match destinations.routes(&optional("ROUTES").unwrap_or_default()) {
            Ok(tree) => (tree, None),
            Err(why) => (Tree::standard(&destinations.names()), Some(why)),
        };
        Ok(Self {
            cluster: env::required(lookup, "CLUSTER_NAME")?,
            // «The name of the function», set by Lambda itself:
            // https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
            function: env::required(lookup, "AWS_LAMBDA_FUNCTION_NAME")?,
            state_table: env::required(lookup, "STATE_TABLE")?,
            destinations,
            tree,
            refused,
        })
    }
}

fn topic(name: &str, arn: String) -> Result<String, Failure> {
    of_service(name, arn, "sns", "the ARN of an SNS topic")
}

fn secret(name: &str, arn: String) -> Result<String, Failure> {
    of_service(name, arn, "secretsmanager", "the ARN of a secret")
}

fn of_service(name: &str, arn: String, service: &str, form: &str) -> Result<String, Failure> {
    let mut parts = arn.split(':');
    let good = parts.next() == Some("arn") && parts.nth(1) == Some(service);
    if good { Ok(arn) } else { Err(env::wrong(name, &arn, form)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 8] = [
        ("AWS_LAMBDA_FUNCTION_NAME", "router"),
        ("CLUSTER_NAME", "graph"),
        ("STATE_TABLE", "state"),
        ("PAGE_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:page"),
        ("PAGERDUTY_URL", "https://events.pagerduty.com/v2/enqueue"),
        ("SLACK_SECRET_ARN", "arn:aws:secretsmanager:eu-west-1:1:secret:slack"),
        ("NOTIFY_TOPIC_ARN", ""),
        ("ROUTES", r#"{"to": ["slack:databases"]}"#),
    ];

    fn read(changed: &[(&str, &str)]) -> Result<Config, Failure> {
        Config::read(&|asked: &str| {
            let found = changed.iter().chain(&GOOD).find(|(name, _)| *name == asked)?;
            Some(found.1.to_owned())
        })
    }

    #[test]
    fn a_whole_environment_is_read() {
        let config = read(&[]).unwrap();
        assert_eq!(config.destinations.names(), ["page", "slack"].map(str::to_owned).into());
        assert_eq!((config.refused, config.tree.destinations()), (None, ["slack:databases".to_owned()].into()));
        assert_eq!(read(&[("ROUTES", "")]).unwrap().tree.destinations().len(), 2);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for name in ["AWS_LAMBDA_FUNCTION_NAME", "CLUSTER_NAME", "STATE_TABLE", "PAGE_TOPIC_ARN", "PAGERDUTY_URL"] {
            assert!(read(&[(name, "")]).unwrap_err().to_string().contains(name), "{name}");
        }
        for name in
            ["PAGE_TOPIC_ARN", "NOTIFY_TOPIC_ARN", "SLACK_SECRET_ARN", "WEBHOOK_SECRET_ARN", "PAGERDUTY_SECRET_ARN"]
        {
            let text = read(&[(name, "https://hooks.example")]).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains("the ARN of"), "{text}");
        }
    }

    #[test]
    fn wrong_routes_lose_nothing() {
        let config = read(&[("ROUTES", r#"{"to": ["chat"]}"#)]).unwrap();
        assert!(config.refused.unwrap().contains("no destination \"chat\""));
        assert!(config.tree.destinations().contains("page"));
    }
}
