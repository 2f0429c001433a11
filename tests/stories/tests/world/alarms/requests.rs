//! The calls that whoever is told of an alarm makes: its tags, and a message to a topic.

use std::collections::BTreeSet;

use cluster_world::{
    World,
    cloudwatch::{State::Alarm, alarm_arn},
};
use serde_json::json;

use super::{super::post, depth, put, put_composite, put_switch, set, world};

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"))
}

fn tags(world: &mut World, arn: &str) -> (u16, String) {
    let form = format!("Action=ListTagsForResource&Version=2010-08-01&ResourceARN={}", encoded(arn));
    let answer = world.answer(&post(&form));
    (answer.status, answer.body)
}

#[test]
fn an_alarm_has_its_tags() {
    let mut world = world();
    let given = json!([{"Key": "severity", "Value": "critical"}, {"Key": "tier", "Value": "a<b"}]);
    put(&mut world, "Dead", &json!({"Tags": given}));
    put(&mut world, "Plain", &json!({}));
    let arn = alarm_arn("Dead");
    let (status, body) = tags(&mut world, &arn);
    assert_eq!(status, 200);
    let expected = "<Tags><member><Key>severity</Key><Value>critical</Value></member><member><Key>tier</Key><Value>a&lt;b</Value></member></Tags>";
    assert!(body.contains(expected), "{body}");
    assert!(body.contains("xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\""), "{body}");
    let call = world.calls.last().unwrap();
    assert_eq!(
        (call.action.as_str(), &call.resources[..], call.write),
        ("cloudwatch:ListTagsForResource", &[arn][..], false)
    );
    assert!(tags(&mut world, &alarm_arn("Plain")).1.contains("<Tags></Tags>"));
    let (status, body) = tags(&mut world, &alarm_arn("Gone"));
    assert_eq!(status, 404);
    assert!(body.contains("<Code>ResourceNotFoundException</Code>"), "{body}");
    let (status, body) = tags(&mut world, "Dead");
    assert_eq!(status, 400);
    assert!(body.contains("<Code>InvalidParameterValue</Code>"), "{body}");
    let throttled =
        post("Action=ListTagsForResource&Version=2010-08-01").refused(400, "ThrottlingException", "Rate exceeded");
    assert!(throttled.body.contains("<Code>Throttling</Code>"), "{}", throttled.body);
}

fn describe(world: &mut World, more: &str) -> String {
    world.answer(&post(&format!("Action=DescribeAlarms&Version=2010-08-01{more}"))).body
}

#[test]
fn alarms_are_described_by_their_names_and_composite_ones_only_where_they_are_asked_for() {
    let mut world = world();
    for name in ["A", "B", "C"] {
        put_switch(&mut world, name);
    }
    put_composite(&mut world, "Whole", &json!({"AlarmRule": "ALARM(A)"}));
    set(&mut world, "A", Alarm);
    let names = |body: &str| {
        let names = body.split("<AlarmName>").skip(1);
        names.map(|rest| rest.split_once('<').unwrap().0.to_owned()).collect::<BTreeSet<_>>()
    };
    let set_of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let asked = |world: &World| world.calls.last().unwrap().resources.clone();
    let body = describe(&mut world, "");
    assert_eq!(names(&body), set_of(&["A", "B", "C"]));
    assert_eq!(asked(&world), [alarm_arn("*")]);
    let both = "&AlarmTypes.member.1=MetricAlarm&AlarmTypes.member.2=CompositeAlarm";
    let body = describe(
        &mut world,
        &format!("{both}&AlarmNames.member.1=Whole&AlarmNames.member.2=A&AlarmNames.member.3=Gone"),
    );
    assert_eq!(names(&body), set_of(&["A", "Whole"]));
    assert!(
        body.contains("<StateReason>by hand</StateReason>") && body.contains("<StateValue>ALARM</StateValue>"),
        "{body}"
    );
    assert!(body.contains("<StateUpdatedTimestamp>2026-11-23T10:00:00Z</StateUpdatedTimestamp>"), "{body}");
    assert_eq!(asked(&world), ["*"], "a permission of a narrower scope shows no composite alarm");
    assert_eq!(names(&describe(&mut world, &format!("{both}&StateValue=ALARM"))), set_of(&["A", "Whole"]));
    let first = describe(&mut world, &format!("{both}&MaxRecords=3"));
    assert_eq!(names(&first), set_of(&["A", "B", "C"]));
    assert!(first.contains("<NextToken>3</NextToken>"), "{first}");
    assert_eq!(names(&describe(&mut world, &format!("{both}&MaxRecords=3&NextToken=3"))), set_of(&["Whole"]));
    put(&mut world, "Told", &json!({"OKActions": ["arn:aws:lambda:eu-west-1:000000000000:function:router"]}));
    let prefix = |action: &str| format!("{both}&ActionPrefix={}", encoded(action));
    let told = describe(&mut world, &prefix("arn:aws:lambda:eu-west-1:000000000000:function:router"));
    assert_eq!(names(&told), set_of(&["Told"]), "whichever state the action is for");
    assert!(names(&describe(&mut world, &prefix("arn:aws:lambda:eu-west-1:000000000000:function:other"))).is_empty());
    for wrong in ["&MaxRecords=101", "&StateValue=BAD", "&AlarmNamePrefix=A"] {
        assert!(describe(&mut world, wrong).contains("<Code>InvalidParameterValue</Code>"), "{wrong}");
    }
}

#[test]
fn the_rules_that_mute_an_alarm_are_listed_by_what_they_do_now() {
    let mut world = world();
    for (name, from) in [("Now", "at(2026-11-23T10:00)"), ("Later", "at(2026-11-23T12:00)")] {
        let schedule = json!({"Expression": from, "Duration": "PT1H"});
        let rule = json!({"Rule": {"Schedule": schedule}, "MuteTargets": {"AlarmNames": ["A"]}});
        world.create("AWS::CloudWatch::AlarmMuteRule", name, &rule).unwrap();
    }
    let mut list = |more: &str| {
        let body = world.answer(&post(&format!("Action=ListAlarmMuteRules&Version=2010-08-01{more}"))).body;
        let rules = body.split("<AlarmMuteRuleArn>").skip(1);
        rules.map(|rest| rest.split_once('<').unwrap().0.rsplit(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list("&AlarmName=A"), ["Later", "Now"]);
    assert_eq!(list("&AlarmName=A&Statuses.member.1=ACTIVE"), ["Now"]);
    assert!(list("&AlarmName=B").is_empty());
    world.advance(3600);
    let ended = world.answer(&post("Action=ListAlarmMuteRules&Version=2010-08-01&Statuses.member.1=ACTIVE")).body;
    assert!(!ended.contains("<AlarmMuteRuleArn>"), "{ended}");
}

#[test]
fn data_of_any_metric_can_be_asked_for() {
    let mut world = world();
    world.put_metric(&depth(), 2.0);
    world.put_metric(&depth(), 5.0);
    world.advance(60);
    world.put_metric(&depth(), 1.0);
    world.advance(60);
    let stat = "MetricDataQueries.member.1.MetricStat";
    let form = format!(
        "Action=GetMetricData&Version=2010-08-01&StartTime={}&EndTime={}&MetricDataQueries.member.1.Id=m1\
         &{stat}.Metric.Namespace=AWS%2FSQS&{stat}.Metric.MetricName=ApproximateNumberOfMessagesVisible&{stat}.Period=60\
         &{stat}.Metric.Dimensions.member.1.Name=QueueName&{stat}.Metric.Dimensions.member.1.Value=dead&{stat}.Stat=Sum",
        encoded("2026-11-23T09:00:00Z"),
        encoded("2026-11-23T10:02:00Z")
    );
    let body = world.answer(&post(&form)).body;
    assert!(body.contains("<Values><member>1.0</member><member>7.0</member></Values>"), "{body}");
    let times = "<Timestamps><member>2026-11-23T10:01:00Z</member><member>2026-11-23T10:00:00Z</member></Timestamps>";
    assert!(body.contains(times) && body.contains("<Label>ApproximateNumberOfMessagesVisible</Label>"), "{body}");
}

fn publish(world: &mut World, topic: &str, subject: &str, message: &str) -> (u16, String) {
    let [topic, subject, message] = [topic, subject, message].map(encoded);
    let form = format!("Action=Publish&Version=2010-03-31&TopicArn={topic}&Subject={subject}&Message={message}");
    let answer = world.answer(&post(&form));
    (answer.status, answer.body)
}

#[test]
fn a_topic_takes_what_sns_takes() {
    let mut world = world();
    let topic = world.topic("people");
    let (status, body) = publish(&mut world, &topic, &"s".repeat(100), &"ü".repeat(131_072));
    assert_eq!(status, 200);
    let published = &world.published(&topic)[0];
    assert!(
        body.contains(&format!("<PublishResult><MessageId>{}</MessageId></PublishResult>", published.id)),
        "{body}"
    );
    assert_eq!(published.message.len(), 262_144);
    let call = world.calls.last().unwrap();
    assert_eq!((call.action.as_str(), &call.resources[..], call.write), ("sns:Publish", &[topic.clone()][..], true));
    let other = topic.replace("people", "nobody");
    for (to, subject, message, status, code) in [
        (other.as_str(), "s", "m", 404, "NotFound"),
        (&topic, &"s".repeat(101), "m", 400, "InvalidParameter"),
        (&topic, "two\nlines", "m", 400, "InvalidParameter"),
        (&topic, "s", &"m".repeat(262_145), 400, "InvalidParameter"),
        (&topic, "s", "", 400, "InvalidParameter"),
        ("people", "s", "m", 400, "InvalidParameter"),
    ] {
        let (refused, body) = publish(&mut world, to, subject, message);
        assert_eq!(refused, status, "{body}");
        assert!(body.contains(&format!("<Code>{code}</Code>")), "{body}");
    }
    assert_eq!(world.published(&topic).len(), 1);
    let denied = post("Action=Publish&Version=2010-03-31").refused(403, "AccessDeniedException", "not authorized");
    assert_eq!(denied.status, 403);
    assert!(denied.body.contains("<Code>AuthorizationError</Code>"), "{}", denied.body);
}
