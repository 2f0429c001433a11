#!/usr/bin/env python3
"""Rehearses every look on canned answers, of the shapes that AWS documents: as expected, and then with one answer changed.

Each look has to see the change that concerns it, and no other look may. A call that the caller may not make hides one fact, and a
call that could change something must be refused.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import check
import looks
from botocore.validate import validate_parameters
from check import look_at
from document import facts
from stack import ALLOWED, Account, Forbidden, Stack
from verdict import LOOKS, Verdict

NAME, ECS = "neo4j", "neo4j-Ecs-Cluster-1"
ARN = "arn:aws:ecs:eu-west-1:000000000000"
KEY = "arn:aws:kms:eu-west-1:000000000000:key/1"
ROOT = {
    "Outputs": {
        "EcsClusterName": ECS,
        "DataVolumeIds": "vol-1",
        "HostedZoneId": "Z1",
        "CoreName": "core.neo4j.service",
        "ReplicaName": "replica.neo4j.service",
        "InstanceDrainerFunction": "drainer",
        "Neo4jGatewayFunction": "neo4j-gateway-1",
    },
    "Parameters": {
        "CorePurchase": "spot",
        "DataKmsKeyArn": KEY,
        "CoreSubnet1": "subnet-1",
        "CoreSubnet2": "subnet-2",
        "CoreSubnet3": "subnet-1",
    },
}
RESOURCES = {
    NAME: [
        ("Nested", "AWS::CloudFormation::Stack", "nested"),
        ("CoreService", "AWS::ServiceDiscovery::Service", "srv-1"),
        ("ReplicaService", "AWS::ServiceDiscovery::Service", "srv-2"),
    ],
    "nested": [
        ("Group", "AWS::AutoScaling::AutoScalingGroup", "group-1"),
        ("Function", "AWS::Lambda::Function", "drainer"),
        ("Log", "AWS::Logs::LogGroup", "log"),
        ("Service", "AWS::ECS::Service", f"{ARN}:service/{ECS}/core-1"),
        ("DeadLetters", "AWS::SQS::Queue", "https://sqs/1/dead"),
        ("Alarm", "AWS::CloudWatch::Alarm", "alarm"),
        ("Members", "AWS::EC2::SecurityGroup", "sg-members"),
        ("Gateway", "AWS::EC2::SecurityGroup", "sg-gateway"),
    ],
}


def resources(asked: dict[str, Any]) -> dict[str, Any]:
    when = {"ResourceStatus": "CREATE_COMPLETE", "LastUpdatedTimestamp": "2026-01-01T00:00:00Z"}
    return {
        "StackResourceSummaries": [
            {"LogicalResourceId": id, "ResourceType": kind, "PhysicalResourceId": physical} | when
            for id, kind, physical in RESOURCES[asked["StackName"]]
        ]
    }


class Body:
    def __init__(self, document: Any) -> None:
        self.document = document

    def read(self) -> bytes:
        return json.dumps(self.document).encode()


def report(asked: dict[str, Any]) -> dict[str, Any]:
    """A log in which each pattern finds what it should."""
    found = {
        "": ["a line"],
        '"AccessDenied"': [],
        '"platform.report" "initDurationMs"': [json.dumps({"record": {"metrics": {"initDurationMs": 41.5}}}), "no JSON"],
    }[asked["filterPattern"]]
    return {"events": [{"message": line} for line in found]}


GROUP = {
    "AutoScalingGroupName": "group-1",
    "MinSize": 1,
    "MaxSize": 1,
    "DesiredCapacity": 1,
    "DefaultCooldown": 300,
    "HealthCheckType": "EC2",
    "CreatedTime": "2026-01-01T00:00:00Z",
    "AvailabilityZones": ["eu-west-1a"],
    "Tags": [{"Key": "neo4j:core", "Value": "1"}],
    "InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}},
    "Instances": [
        {
            "InstanceId": "i-1",
            "AvailabilityZone": "eu-west-1a",
            "LifecycleState": "InService",
            "HealthStatus": "Healthy",
            "ProtectedFromScaleIn": False,
            "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "1"},
        }
    ],
}
HOOK = {
    "LifecycleHookName": "neo4j-terminate",
    "AutoScalingGroupName": "group-1",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
    "HeartbeatTimeout": 1800,
    "GlobalTimeout": 172800,
    "DefaultResult": "ABANDON",
}
ACTIVITY = {
    "ActivityId": "1",
    "AutoScalingGroupName": "group-1",
    "Cause": "a launch",
    "StartTime": "2026-01-01T00:00:00Z",
    "StatusCode": "Successful",
}
CONNECTED = {"State": "Active", "VpcConfig": {"SubnetIds": ["subnet-2", "subnet-1"], "SecurityGroupIds": ["sg-gateway"]}}
OUT = {
    "IsEgress": True,
    "IpProtocol": "tcp",
    "FromPort": 7474,
    "ToPort": 7474,
    "ReferencedGroupInfo": {"GroupId": "sg-members"},
}


def points(late: int = 60, **values: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The metrics of a healthy cluster of one core, but for those that are given."""
    healthy = {"MembersAnswering": 1.0} | values

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        [statistic], name = asked["Statistics"], asked["MetricName"]
        if name.startswith("Monitor") and name not in healthy:
            return {"Datapoints": []}
        at = looks.now() - datetime.timedelta(seconds=late)
        return {"Datapoints": [{statistic: healthy.get(name, 15.0), "Timestamp": at}]}

    return answer


SERVICE = {"serviceName": "core-1", "taskDefinition": f"{ARN}:task-definition/{ECS}-core:1"}
UNTOLD = [each | {"LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "$Latest"}} for each in GROUP["Instances"]]
ANSWERS: dict[str, Any] = {
    "ListStackResources": resources,
    "DescribeAutoScalingGroups": {"AutoScalingGroups": [GROUP]},
    "DescribeScalingActivities": {"Activities": [ACTIVITY]},
    "DescribeLifecycleHooks": {"LifecycleHooks": [HOOK]},
    "DescribeLogGroups": {"logGroups": [{"logGroupName": "insights", "retentionInDays": 30}]},
    "FilterLogEvents": report,
    "DescribeInstanceInformation": {"InstanceInformationList": [{"InstanceId": "i-1", "PingStatus": "Online"}]},
    "GetMetricStatistics": points(),
    "GetFunctionConfiguration": CONNECTED,
    "DescribeSecurityGroupRules": {"SecurityGroupRules": [OUT]},
    "DescribeAlarms": {"MetricAlarms": [{"AlarmName": "alarm", "StateValue": "OK"}]},
    "DescribeVolumes": {"Volumes": [{"VolumeId": "vol-1", "State": "in-use", "KmsKeyId": KEY}]},
    "GetEbsDefaultKmsKeyId": {"KmsKeyId": KEY},
    "ListTasks": {"taskArns": [f"{ARN}:task/{ECS}/t1"]},
    "DescribeTasks": {
        "tasks": [
            {
                "taskArn": f"{ARN}:task/{ECS}/t1",
                "lastStatus": "RUNNING",
                "group": "service:core-1",
                "containerInstanceArn": f"{ARN}:container-instance/{ECS}/c1",
                "taskDefinitionArn": f"{ARN}:task-definition/{ECS}-core:1",
            }
        ]
    },
    "DescribeServices": {"services": [SERVICE]},
    "DescribeTaskDefinition": {"taskDefinition": {"containerDefinitions": [{"memory": 6656}, {"memory": 64}, {"memory": 64}]}},
    "ListContainerInstances": {"containerInstanceArns": [f"{ARN}:container-instance/{ECS}/c1"]},
    "DescribeContainerInstances": {
        "containerInstances": [
            {
                "containerInstanceArn": f"{ARN}:container-instance/{ECS}/c1",
                "ec2InstanceId": "i-1",
                "runningTasksCount": 1,
                "attributes": [{"name": "neo4j.tier", "value": "core"}],
                "registeredResources": [{"name": "MEMORY", "type": "INTEGER", "integerValue": 7680}],
            }
        ]
    },
    "ListInstances": lambda asked: {
        "Instances": [{"Id": "t1", "Attributes": {"AWS_INSTANCE_IPV4": "10.0.1.10"}}] if asked["ServiceId"] == "srv-1" else []
    },
    "ListResourceRecordSets": {
        "ResourceRecordSets": [
            {"Name": "core.neo4j.service.", "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "10.0.1.10"}]}
        ],
        "IsTruncated": False,
        "MaxItems": "100",
    },
    "GetQueueAttributes": {"Attributes": {"ApproximateNumberOfMessages": "0"}},
    "Invoke": {"Payload": Body({"dryRun": True, "steps": [], "cores": [{"core": 1, "whole": True}]}), "StatusCode": 200},
}
# What is changed, and which facts are then not as expected.
CHANGED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no launch gets the profile": (
        {
            "DescribeScalingActivities": {
                "Activities": [ACTIVITY | {"StatusCode": "Failed", "StatusMessage": "Invalid IAM Instance Profile"}]
            }
        },
        {"instance-profile"},
    ),
    "Spot refuses the template": (
        {
            "DescribeScalingActivities": {
                "Activities": [ACTIVITY | {"StatusCode": "Failed", "StatusMessage": "Termination protection"}]
            }
        },
        {"spot-launches"},
    ),
    "Insights' log has no retention": ({"DescribeLogGroups": {"logGroups": [{"logGroupName": "insights"}]}}, {"insights-log"}),
    "nobody can log in": ({"DescribeInstanceInformation": {"InstanceInformationList": []}}, {"session-manager"}),
    "nothing is a metric": ({"GetMetricStatistics": {"Datapoints": []}}, {"free-disk-metric", "members-answer"}),
    "free disk is no metric": (
        {"GetMetricStatistics": lambda asked: {"Datapoints": []} if "Disk" in asked["MetricName"] else points()(asked)},
        {"free-disk-metric"},
    ),
    "the gateway has no interfaces yet": (
        {"GetFunctionConfiguration": CONNECTED | {"State": "Pending", "StateReasonCode": "Creating"}},
        {"gateway-in-vpc"},
    ),
    "the gateway is elsewhere": (
        {"GetFunctionConfiguration": CONNECTED | {"VpcConfig": {"SubnetIds": ["subnet-9"], "SecurityGroupIds": ["sg-gateway"]}}},
        {"gateway-in-vpc"},
    ),
    "the gateway's group kept its default rule": (
        {
            "DescribeSecurityGroupRules": {
                "SecurityGroupRules": [OUT, {"IsEgress": True, "IpProtocol": "-1", "CidrIpv4": "0.0.0.0/0"}]
            }
        },
        {"gateway-reach"},
    ),
    "no member answers": ({"GetMetricStatistics": points(MembersAnswering=0.0)}, {"members-answer"}),
    "a member refuses monitor": ({"GetMetricStatistics": points(MonitorLoginsRefused=1.0)}, {"monitor-user"}),
    "monitor sees too little": ({"GetMetricStatistics": points(MonitorRightsMissing=1.0)}, {"monitor-user"}),
    "a core has no instance": (
        {"DescribeAutoScalingGroups": {"AutoScalingGroups": [GROUP | {"Instances": []}]}},
        {"completed-launch"},
    ),
    "a group has no hook": ({"DescribeLifecycleHooks": {"LifecycleHooks": []}}, {"hooks-there"}),
    "a hook goes on by itself": (
        {"DescribeLifecycleHooks": {"LifecycleHooks": [HOOK | {"DefaultResult": "CONTINUE"}]}},
        {"hooks-there"},
    ),
    "a group retains nothing": (
        {"DescribeAutoScalingGroups": {"AutoScalingGroups": [GROUP | {"InstanceLifecyclePolicy": {}}]}},
        {"hooks-there"},
    ),
    "free disk comes late": ({"GetMetricStatistics": points(late=360)}, {"disk-lag"}),
    "a service has a family and no revision": (
        {"DescribeServices": {"services": [SERVICE | {"taskDefinition": f"{ECS}-core"}]}},
        {"family"},
    ),
    "nothing says what an instance was launched from": (
        {"DescribeAutoScalingGroups": {"AutoScalingGroups": [GROUP | {"Instances": UNTOLD}]}},
        {"launch-version"},
    ),
    "a volume is free": (
        {"DescribeVolumes": {"Volumes": [{"VolumeId": "vol-1", "State": "available", "KmsKeyId": KEY}]}},
        {"customer-key"},
    ),
    "the task is too large": (
        {"DescribeTaskDefinition": {"taskDefinition": {"containerDefinitions": [{"memory": 7700}]}}},
        {"memory"},
    ),
    "ECS counts more than it lists": (
        {"ListTasks": {"taskArns": []}},
        {"shared-registry", "task-count"},
    ),
    "Cloud Map has nobody": ({"ListInstances": {"Instances": []}}, {"shared-registry", "names"}),
    "a name leads elsewhere": (
        {"ListResourceRecordSets": {"ResourceRecordSets": [], "IsTruncated": False, "MaxItems": "100"}},
        {"names"},
    ),
    "a function is silent": (
        {"FilterLogEvents": lambda asked: {"events": []} if not asked["filterPattern"] else report(asked)},
        {"sweeps"},
    ),
    "a function is denied something": (
        {
            "FilterLogEvents": lambda asked: (
                {"events": [{"message": "AccessDenied"}]} if "Denied" in asked["filterPattern"] else report(asked)
            )
        },
        {"deregistration-rights"},
    ),
    "messages are lost": ({"GetQueueAttributes": {"Attributes": {"ApproximateNumberOfMessages": "2"}}}, {"lost-messages"}),
    "an alarm is active": (
        {"DescribeAlarms": {"MetricAlarms": [{"AlarmName": "alarm", "StateValue": "ALARM", "StateReason": "so"}]}},
        {"quiet-alarms"},
    ),
    "a core is not whole": (
        {
            "Invoke": {
                "Payload": Body({"dryRun": True, "steps": [], "cores": [{"core": 1, "whole": False, "why": "so"}]}),
                "StatusCode": 200,
            }
        },
        {"plan"},
    ),
}
# That only show numbers.
NEVER = {"default-key", "start-up-time"}


@dataclass(frozen=True)
class Refusal:
    """What AWS answers in the place of what was asked for."""

    code: str
    message: str


class Refused:
    status_code = 400


class Canned(Account):
    """An account that answers from a list."""

    def __init__(self) -> None:
        super().__init__("eu-west-1", set())
        self.session._session.set_credentials("test", "test")
        self.answers: dict[str, Any] = {}

    def become(self, answers: dict[str, Any], allow: set[str]) -> None:
        self.answers, self.more, self.allow = ANSWERS | answers, set().union(*(ALLOWED[word] for word in allow)), allow

    def answer(self, model: Any, params: dict[str, Any], context: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        answer = self.answers[model.name]
        answer = copy.copy(answer(context["asked"]) if callable(answer) else answer)
        if isinstance(answer, Refusal):
            return Refused(), {"Error": {"Code": answer.code, "Message": answer.message}, "ResponseMetadata": {}}
        # Of what AWS documents.
        validate_parameters({key: each for key, each in answer.items() if key != "Payload"}, model.output_shape)

        class Response:
            status_code = 200

        return Response(), {**answer, "ResponseMetadata": {}}

    def remember(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def client(self, service: str) -> Any:
        client = super().client(service)
        client.meta.events.register_first("provide-client-params", self.remember, unique_id="asked")
        client.meta.events.register_last("before-call", self.answer, unique_id="answer")
        return client


def looked(account: Canned, answers: dict[str, Any], allow: set[str]) -> dict[str, Verdict]:
    account.become(answers, allow)
    stack = Stack.__new__(Stack)
    stack.account, stack.name, stack.ecs_cluster = account, NAME, ECS
    stack.outputs, stack.parameters = ROOT["Outputs"], ROOT["Parameters"]
    return {fact.id: look_at(fact, stack).verdict for fact in facts() if fact.id in LOOKS}


def refused(call: Callable[[], Any]) -> bool:
    try:
        call()
    except Forbidden:
        return True
    except KeyError:  # it came as far as an answer, which there is not
        return False
    return False


# What may not be called, and which facts that hides.
DENIED = {
    "DescribeLifecycleHooks": {"hooks-there"},
    "DescribeLogGroups": {"insights-log"},
    "DescribeAlarms": {"quiet-alarms"},
    "GetEbsDefaultKmsKeyId": {"default-key"},
    "ListResourceRecordSets": {"names"},
}


def without_permission(account: Canned) -> list[str]:
    """A look that may not be taken hides its own fact, and the others are still looked at."""
    found = []
    for operation, hidden in DENIED.items():
        seen = looked(account, {operation: Refusal("AccessDeniedException", "no policy allows it")}, {"plans"})
        if (unseen := {id for id, so in seen.items() if so is Verdict.UNSEEN}) != hidden:
            found.append(f"without {operation} {sorted(unseen)} are not seen, and should be {sorted(hidden)}")
        if wrong := sorted(id for id, so in seen.items() if so is Verdict.DEVIATES):
            found.append(f"without {operation} {wrong} are not as expected")
    return found


def without_stack(account: Canned) -> list[str]:
    """Where there is no such stack, the program says so and ends with 2."""
    account.become({"DescribeStacks": Refusal("ValidationError", f"Stack with id {NAME} does not exist")}, set())
    said = io.StringIO()
    instead = mock.patch.object(check, "Account", lambda *_: account), mock.patch.object(sys, "argv", ["check.py", NAME])
    with instead[0], instead[1], contextlib.redirect_stderr(said):
        ended = check.main()
    said_so = f"there is no stack {NAME}" in said.getvalue()
    return [] if ended == 2 and said_so else [f"without a stack it ends with {ended}, and says {said.getvalue()!r}"]


def main() -> None:
    account = Canned()  # its clients take long to make
    found = [f"{id}: {so.value}" for id, so in looked(account, {}, {"plans"}).items() if so is not Verdict.EXPECTED]
    seen: set[str] = set()
    for how, (answers, wanted) in CHANGED.items():
        wrong = {id for id, so in looked(account, answers, {"plans"}).items() if so is Verdict.DEVIATES}
        seen |= wrong
        if wrong != wanted:
            found.append(f"{how}: {sorted(wrong)} are not as expected, and should be {sorted(wanted)}")
    found += [f"nothing makes {id} deviate" for id in sorted(LOOKS.keys() - seen - NEVER)]
    found += without_permission(account) + without_stack(account)
    if looked(account, {}, set())["plan"] is not Verdict.UNSEEN:
        found.append("the plan is asked for although that was not allowed")
    if not refused(lambda: account.client("ecs").stop_task(cluster=ECS, task="t1")):
        found.append("a call that changes something is not refused")
    if not refused(lambda: account.client("lambda").invoke(FunctionName="drainer")):
        found.append("an invocation that was not allowed is not refused")
    print(f"{len(LOOKS)} looks at an account, {len(CHANGED)} changes that they have to see, {len(found)} findings")
    sys.exit("\n".join(found) if found else 0)


if __name__ == "__main__":
    main()
