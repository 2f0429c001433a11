use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use cluster_core::ids::InstanceId;
use cluster_lambda::{Failure, query::Query};
use serde::Deserialize;

/// How many values one filter takes at most (EC2 developer guide, «Filtering»: 200).
const PER_CALL: usize = 200;
/// The most instances that one page may hold.
const PAGE: &str = "1000";

/// The private addresses of instances, which are also those of the members on them.
///
/// They come from EC2, and not from Cloud Map: there anybody with the permission could register an address, and be sent
/// a password.
#[derive(Clone, Debug)]
pub struct Addresses {
    ec2: Query,
    /// Those that are known: a primary private address stays with its instance until it terminates (EC2 user guide, «Private
    /// IPv4 addresses»).
    known: Arc<Mutex<BTreeMap<InstanceId, Ipv4Addr>>>,
}

impl Addresses {
    /// Reads through this client.
    #[must_use]
    pub fn new(ec2: Query) -> Self {
        Self { ec2, known: Arc::default() }
    }

    /// Returns the addresses of those instances that have one. It makes no call while all are known, and forgets those of
    /// other instances.
    pub async fn of(&self, instances: &[&InstanceId]) -> Result<BTreeMap<InstanceId, Ipv4Addr>, Failure> {
        let mut addresses = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        addresses.retain(|known, _| instances.contains(&known));
        let unknown: Vec<_> = instances.iter().copied().filter(|id| !addresses.contains_key(*id)).collect();
        addresses.extend(self.described(&unknown).await?);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&addresses);
        Ok(addresses)
    }

    async fn described(&self, instances: &[&InstanceId]) -> Result<BTreeMap<InstanceId, Ipv4Addr>, Failure> {
        let step = "describe the instances";
        let mut addresses = BTreeMap::new();
        for instances in instances.chunks(PER_CALL) {
            let names: Vec<_> = (1..=instances.len()).map(|n| format!("Filter.1.Value.{n}")).collect();
            let mut token: Option<String> = None;
            loop {
                let mut parameters = vec![("Filter.1.Name", "instance-id"), ("MaxResults", PAGE)];
                parameters.extend(names.iter().map(String::as_str).zip(instances.iter().map(|id| id.as_str())));
                parameters.extend(token.as_deref().map(|token| ("NextToken", token)));
                let answer = self.ec2.call("DescribeInstances", &parameters).await;
                let page: Page = self.ec2.read(&answer.map_err(|error| error.failure(step))?, step)?;
                addresses.extend(page.addresses());
                token = page.next_token.filter(|token| !token.is_empty());
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(addresses)
    }
}

/// A page of `DescribeInstances`. One without a set is invalid.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    reservation_set: Set<Reservation>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Set<T> {
    #[serde(default = "Vec::new")]
    item: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    instances_set: Set<Instance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    instance_id: String,
    /// «The private IPv4 address assigned to the instance» (API reference of `Instance`, `privateIpAddress`); a terminated
    /// one has none.
    private_ip_address: Option<Ipv4Addr>,
}

impl Page {
    fn addresses(&self) -> impl Iterator<Item = (InstanceId, Ipv4Addr)> {
        let instances = self.reservation_set.item.iter().flat_map(|reservation| &reservation.instances_set.item);
        instances.filter_map(|instance| Some((instance.instance_id.as_str().into(), instance.private_ip_address?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_lambda::stub::Answers;

    fn page(instances: &str, token: &str) -> String {
        let set = "http://ec2.amazonaws.com/doc/2016-11-15/";
        format!(
            "<DescribeInstancesResponse xmlns=\"{set}\"><requestId>r</requestId><reservationSet>{instances}\
             </reservationSet>{token}</DescribeInstancesResponse>"
        )
    }

    fn reservation(id: &str, address: &str) -> String {
        format!(
            "<item><reservationId>r-1</reservationId><ownerId>1</ownerId><groupSet/><instancesSet><item><instanceId>{id}\
             </instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name></instanceState>\
             {address}</item></instancesSet></item>"
        )
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_come_from_every_page_and_a_terminated_instance_has_none() {
        let first =
            page(&reservation("i-1", "<privateIpAddress>10.0.1.11</privateIpAddress>"), "<nextToken>more</nextToken>");
        let other = reservation("i-2", "<privateIpAddress>10.0.2.12</privateIpAddress>") + &reservation("i-3", "");
        let answers = Answers::new(&[(200, &first), (200, &page(&other, "<nextToken/>"))]);
        let (one, two, three) = ("i-1".into(), "i-2".into(), "i-3".into());
        let found = Addresses::new(answers.ec2()).of(&[&one, &two, &three]).await.unwrap();
        let expected = [(one, Ipv4Addr::new(10, 0, 1, 11)), (two, Ipv4Addr::new(10, 0, 2, 12))];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
        let requests = answers.requests.lock().unwrap();
        let sent: Vec<_> =
            requests.iter().map(|r| String::from_utf8_lossy(r.body().bytes().unwrap()).into_owned()).collect();
        assert!(sent[0].contains("Filter.1.Name=instance-id&MaxResults=1000&Filter.1.Value.1=i-1&"), "{sent:?}");
        assert!(sent[1].ends_with("&NextToken=more"), "{sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_instance_there_is_no_call_and_an_answer_without_a_set_is_none() {
        let answers =
            Answers::new(&[(200, "<DescribeInstancesResponse><requestId>r</requestId></DescribeInstancesResponse>")]);
        let addresses = Addresses::new(answers.ec2());
        assert!(addresses.of(&[]).await.unwrap().is_empty());
        assert!(answers.requests.lock().unwrap().is_empty());
        let id = "i-1".into();
        assert!(addresses.of(&[&id]).await.is_err());
        let empty = Answers::new(&[(200, &page("", ""))]);
        assert!(Addresses::new(empty.ec2()).of(&[&id]).await.unwrap().is_empty());
    }
}
