//! Functions that invoke functions, and read secrets.

use std::{sync::Arc, time::Duration};

use cluster_sim::{
    time::play,
    wire::{Fault, Invocable, Wire},
};
use cluster_world::{Kind, Request, World};
use serde_json::{Value, json};

use super::{create, json_of, target};

const FUNCTION: &str = "neo4j-gateway-1";

fn world() -> World {
    World::new("2026-11-23T10:00:00Z".parse().unwrap(), 1)
}

fn invoke(function: &str, payload: &Value) -> Request {
    Request {
        method: "POST".to_owned(),
        path: format!("/2015-03-31/functions/{function}/invocations"),
        body: payload.to_string().into_bytes(),
        ..Request::default()
    }
}

#[test]
fn a_secret_is_generated_once_and_read_by_its_arn_or_its_name() {
    let mut world = world();
    let generated = json!({
        "SecretStringTemplate": "{\"username\": \"neo4j\"}", "GenerateStringKey": "password", "PasswordLength": 24,
        "ExcludePunctuation": true,
    });
    let properties = json!({"Name": "admin", "GenerateSecretString": generated});
    let arn = create(&mut world, "AWS::SecretsManager::Secret", "Admin", &properties);
    assert!(arn.starts_with("arn:aws:secretsmanager:eu-west-1:000000000000:secret:admin-"), "{arn}");
    let get = |id: &str| target("secretsmanager.GetSecretValue", &json!({"SecretId": id}));
    let without_end = &arn[..arn.len() - 7];
    let answers = [arn.as_str(), "admin", without_end].map(|id| json_of(&world.answer(&get(id))));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let value: Value = serde_json::from_str(answers[0]["SecretString"].as_str().unwrap()).unwrap();
    assert_eq!((value["username"].as_str(), value["password"].as_str().map(str::len)), (Some("neo4j"), Some(24)));
    assert!(value["password"].as_str().unwrap().chars().all(|c| c.is_ascii_alphanumeric()), "{value}");

    let unchanged = json!({"Name": "admin", "GenerateSecretString": generated, "Description": "theirs"});
    let kind = "AWS::SecretsManager::Secret";
    world.update_in("", kind, "Admin", &arn, &unchanged, &properties).unwrap();
    assert_eq!(json_of(&world.answer(&get(&arn)))["SecretString"], answers[0]["SecretString"]);

    let absent = json_of(&world.answer(&get("other")));
    assert_eq!(absent["__type"], "ResourceNotFoundException");
    let call = world.call(&get("admin")).unwrap();
    assert_eq!((call.action.as_str(), call.resources, call.write), ("secretsmanager:GetSecretValue", vec![arn], false));
}

#[test]
fn an_invocation_is_one_call_about_one_function_and_only_a_look_is_a_read() {
    let world = world();
    let observe = invoke(FUNCTION, &json!({"observe": {"members": []}}));
    let call = world.call(&observe).unwrap();
    let arn = format!("arn:aws:lambda:eu-west-1:000000000000:function:{FUNCTION}");
    assert_eq!(
        (call.action.as_str(), &call.resources, call.write),
        ("lambda:InvokeFunction", &vec![arn.clone()], false)
    );
    assert_eq!(observe.kind(), Kind::Invoke);
    let declare = invoke(&arn.replace(':', "%3A"), &json!({"declareUsers": {}}));
    assert_eq!((declare.kind(), world.call(&declare).unwrap().resources), (Kind::Write, vec![arn]));
}

#[test]
fn the_wire_runs_a_function_says_that_it_failed_and_ends_it_at_its_timeout() {
    play(async {
        let wire = Wire::new(world());
        let unknown = wire.send(&invoke(FUNCTION, &json!({}))).await.unwrap();
        assert_eq!((unknown.status, unknown.headers[0].1.as_str()), (404, "ResourceNotFoundException"));
        let run = |_: &Wire, payload: Value| -> cluster_sim::wire::Invocation {
            Box::pin(async move {
                if payload == json!("sleep") {
                    tokio::time::sleep(Duration::from_mins(1)).await;
                }
                if payload == json!("fail") { Err("it failed".to_owned()) } else { Ok(json!({"asked": payload})) }
            })
        };
        wire.add_function(FUNCTION, Invocable { timeout: Duration::from_secs(15), run: Arc::new(run) });
        let mut answers = Vec::new();
        for payload in ["well", "fail", "sleep"] {
            answers.push(wire.send(&invoke(FUNCTION, &json!(payload))).await.unwrap());
        }
        assert_eq!((&answers[0].headers, json_of(&answers[0])), (&vec![], json!({"asked": "well"})));
        for (answer, why) in [(&answers[1], "it failed"), (&answers[2], "timed out after 15.00 seconds")] {
            assert_eq!((answer.status, answer.headers[0].0), (200, "x-amz-function-error"));
            assert!(answer.body.contains(why), "{}", answer.body);
        }
        for (fault, status, code) in
            [(Fault::Throttle, 429, "TooManyRequestsException"), (Fault::Denied, 403, "AccessDeniedException")]
        {
            wire.plan(1, fault);
            let refused = wire.send(&invoke(FUNCTION, &json!({"observe": {}}))).await.unwrap();
            assert_eq!((refused.status, refused.headers[0].1.as_str()), (status, code));
        }
        wire.plan(1, Fault::Hang);
        let lost = invoke(FUNCTION, &json!({"observe": {}}));
        assert!(tokio::time::timeout(Duration::from_mins(5), wire.send(&lost)).await.is_err(), "no answer ever comes");
        assert_eq!(wire.world().count_calls(0), (4, 4), "what was faulted has not arrived");
    });
}
