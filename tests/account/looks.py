"""Looks at each fact that the API of AWS shows on a stack that lives. All of it reads."""

from __future__ import annotations

import contextlib
import datetime
import json
from typing import Any

from stack import Stack
from verdict import Seen, deviates, expected, look, unseen

METRICS = "Neo4jCluster"
DISK = "DataDiskFreePercent"
# From this age on free disk counts as unknown.
LATE = 300  # seconds: what instance-drainer counts as old (shared/core/src/instance/heal/disk.rs)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def listed(words: Any) -> str:
    return ", ".join(map(str, words)) or "none"


# --- First of all -------------------------------------------------------------------------------------------------------


@look("shared-registry")
def shared_registry(stack: Stack) -> Seen:
    wrong, counts = [], []
    services = sorted({task.get("group", "").removeprefix("service:") for tasks in stack.members.values() for task in tasks})
    for tier, tasks in stack.members.items():
        ids = {task["taskArn"].rsplit("/", 1)[1] for task in tasks}
        registered = stack.registered(tier)
        counts.append(f"{tier}: {len(registered)} registered, {len(ids)} tasks")
        wrong += [f"task {id} of {tier} is not registered" for id in sorted(ids - registered.keys())]
        wrong += [f"{id} is registered for {tier}, and no running task" for id in sorted(registered.keys() - ids)]
    saw = f"{'; '.join(counts)}; services: {listed(services)}"
    if wrong:
        return deviates(
            f"{saw}; {listed(wrong)}",
            "Cloud Map and ECS do not agree; for moments that is normal while a task starts or stops",
            "Look again in a minute. If it stays, read the events of the service (aws ecs describe-services).",
        )
    return expected(saw, "the services of a tier share its Cloud Map service, and the ids there are those of tasks")


@look("family")
def family(stack: Stack) -> Seen:
    ecs, arns = stack.account.client("ecs"), [each.physical for each in stack.of("AWS::ECS::Service")]
    described = [
        service
        for first in range(0, len(arns), 10)
        for service in ecs.describe_services(cluster=stack.ecs_cluster, services=arns[first : first + 10])["services"]
    ]
    revisions = {each["serviceName"]: each["taskDefinition"].rsplit("/", 1)[-1] for each in described}
    saw = listed(f"{name}: {revision}" for name, revision in sorted(revisions.items()))
    if any(not revision.rpartition(":")[2].isdigit() for revision in revisions.values()) or len(described) < len(arns):
        return deviates(saw, "a service of the stack has no revision of its family", "Read the events of the stack.")
    return expected(saw, "CloudFormation takes a family, and ECS has resolved it to a revision")


@look("launch-version")
def launch_version(stack: Stack) -> Seen:
    found = {each["InstanceId"]: each.get("LaunchTemplate", {}) for group in stack.groups for each in group["Instances"]}
    saw = listed(f"{id}: {of.get('LaunchTemplateId')} {of.get('Version')}" for id, of in found.items())
    if any(not of.get("Version", "").isdigit() for of in found.values()):
        return deviates(saw, "Auto Scaling does not say what an instance was launched from", "The dry run says unknown.")
    return expected(saw, "the dry run can tell whose launch template is outdated")


# --- Deployment ---------------------------------------------------------------------------------------------------------


@look("instance-profile")
def instance_profile(stack: Stack) -> Seen:
    spoilt = []
    for group in stack.groups:
        name = group["AutoScalingGroupName"]
        activities = stack.account.every("autoscaling", "describe_scaling_activities", "Activities", AutoScalingGroupName=name)
        failed = [each for each in activities if each["StatusCode"] == "Failed" and "rofile" in each.get("StatusMessage", "")]
        launched = any(each["StatusCode"] == "Successful" for each in activities)
        spoilt += [f"{name}: {each['StatusMessage']}" for each in failed if not launched]
    if spoilt:
        return deviates(
            listed(spoilt), "Auto Scaling launches before EC2 knows the profile, and no try got further", "Report it."
        )
    return expected(f"no launch of {len(stack.groups)} groups was lost to the profile", "EC2 knows the profile in time")


@look("insights-log")
def insights_log(stack: Stack) -> Seen:
    prefix = f"/aws/ecs/containerinsights/{stack.ecs_cluster}/"
    found = stack.account.every("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix)
    for_ever = [each["logGroupName"] for each in found if not each.get("retentionInDays")]
    saw = listed(f"{each['logGroupName']} ({each.get('retentionInDays', 'no')} days)" for each in found)
    if len(found) == 1 and not for_ever:
        return expected(saw, "Container Insights writes into the group of the stack")
    return deviates(
        saw, "Container Insights makes a group that no stack owns, or takes its retention away", "Delete what is left over."
    )


# --- The instance -------------------------------------------------------------------------------------------------------


def instances(stack: Stack) -> list[str]:
    return [each["InstanceId"] for group in stack.groups for each in group["Instances"]]


@look("session-manager")
def session_manager(stack: Stack) -> Seen:
    wanted = instances(stack)
    found = stack.account.every(
        "ssm",
        "describe_instance_information",
        "InstanceInformationList",
        Filters=[{"Key": "InstanceIds", "Values": wanted}],
    )
    online = {each["InstanceId"] for each in found if each["PingStatus"] == "Online"}
    if missing := [each for each in wanted if each not in online]:
        return deviates(
            f"not online: {listed(missing)}",
            "nobody can log in to them",
            "Look for a route to Systems Manager: a NAT gateway, or the endpoints ssm, ssmmessages and ec2messages.",
        )
    return expected(f"{len(online)} instances are online", "Session Manager works on this AMI")


def reports(stack: Stack, **dimensions: str) -> int:
    """Returns how often free disk was reported in the last quarter of an hour."""
    points = stack.account.client("cloudwatch").get_metric_statistics(
        Namespace=METRICS,
        MetricName=DISK,
        Dimensions=[{"Name": name, "Value": value} for name, value in {"Cluster": stack.name, **dimensions}.items()],
        StartTime=now() - datetime.timedelta(minutes=15),
        EndTime=now() + datetime.timedelta(minutes=1),
        Period=60,
        Statistics=["SampleCount"],
    )["Datapoints"]
    return round(sum(each["SampleCount"] for each in points))


@look("free-disk-metric")
def free_disk_metric(stack: Stack) -> Seen:
    tiers = [tier for tier, tasks in stack.members.items() if tasks]
    wanted = {f"tier {tier}": {"Tier": tier} for tier in tiers}
    wanted |= {f"core {core}": {"Tier": "core", "Core": core} for core in stack.cores}
    counts = {what: reports(stack, **dimensions) for what, dimensions in wanted.items()}
    saw = f"reports in 15 minutes: {listed(f'{what} {count}' for what, count in counts.items())}"
    if silent := [what for what, count in counts.items() if not count]:
        return deviates(
            saw,
            f"CloudWatch has no {DISK} of {listed(silent)}"
            + ("; it makes no metric of the line that the tasks print" if len(silent) == len(counts) else ""),
            "Look for the line in the log group of debug.log (its name contains DebugLog). If it is there, the log driver wants "
            "awslogs-format: json/emf; if not, the container debug-log does not run.",
        )
    return expected(saw, "CloudWatch makes a metric of the line that the tasks print; each core says its number")


# --- Hooks and Auto Scaling -----------------------------------------------------------------------------------------------


@look("completed-launch")
def completed_launch(stack: Stack) -> Seen:
    serving = {
        core: [each["InstanceId"] for each in group["Instances"] if each["LifecycleState"] == "InService"]
        for group in stack.groups
        if (core := stack.tag(group, "core"))
    }
    saw = listed(f"core {core}: {listed(found)}" for core, found in sorted(serving.items()))
    if lacking := [core for core, found in serving.items() if not found]:
        return deviates(
            f"in service: {saw}",
            f"no instance of core {listed(sorted(lacking))} came through its launch hook",
            "Run the command in the output ShowInstanceDrainerPlan: it says what each waits for.",
        )
    return expected(f"in service: {saw}", "instance-drainer completed each launch hook by the instance's id")


@look("spot-launches")
def spot_launches(stack: Stack) -> Seen:
    bought = {name: stack.parameters.get(name, "on-demand") for name in ("CorePurchase", "ReplicaPurchase")}
    if not any(how in ("spot", "mixed") for how in bought.values()):
        return unseen("no tier of this stack is on Spot", "Deploy a test stack with CorePurchase=spot.")
    refused = [
        each["StatusMessage"]
        for group in stack.groups
        for each in stack.account.every(
            "autoscaling",
            "describe_scaling_activities",
            "Activities",
            AutoScalingGroupName=group["AutoScalingGroupName"],
        )
        if each["StatusCode"] == "Failed" and "ermination" in each.get("StatusMessage", "")
    ]
    if refused:
        return deviates(listed(refused), "EC2 refuses the launch template for Spot", "Report it.")
    return expected(
        f"{listed(f'{k}={v}' for k, v in bought.items())}, and no launch was refused", "the launch template suits Spot"
    )


# --- Draining -------------------------------------------------------------------------------------------------------------


@look("hooks-there")
def hooks_there(stack: Stack) -> Seen:
    autoscaling, wrong = stack.account.client("autoscaling"), []
    for group in stack.groups:
        name = group["AutoScalingGroupName"]
        hooks = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
        results = {hook["LifecycleHookName"]: hook["DefaultResult"] for hook in hooks}
        if results.get("neo4j-terminate") != "ABANDON":
            wrong.append(f"{name} has the hooks {listed(sorted(results))}")
        policy = group.get("InstanceLifecyclePolicy", {}).get("RetentionTriggers", {}).get("TerminateHookAbandon")
        if policy != "retain":
            wrong.append(f"{name} has the policy {policy or 'none'}")
    if wrong:
        return deviates(
            listed(wrong),
            "CloudFormation has not given the group its hook or its policy: its instances end undrained",
            "Deploy again. If it stays: aws autoscaling put-lifecycle-hook, and update-auto-scaling-group "
            "--instance-lifecycle-policy, with the values in the template.",
        )
    return expected(f"{len(stack.groups)} groups have the hook neo4j-terminate and retain", "no instance ends undrained")


@look("disk-lag")
def disk_lag(stack: Stack) -> Seen:
    cloudwatch, ages = stack.account.client("cloudwatch"), {}
    for core in stack.cores:
        dimensions = {"Cluster": stack.name, "Tier": "core", "Core": core}
        points = cloudwatch.get_metric_statistics(
            Namespace=METRICS,
            MetricName=DISK,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=now() - datetime.timedelta(minutes=15),
            EndTime=now() + datetime.timedelta(minutes=1),
            Period=60,
            Statistics=["Minimum"],
        )["Datapoints"]
        if points:
            ages[core] = int((now() - max(point["Timestamp"] for point in points)).total_seconds())
    if not ages:
        return unseen("no core has reported its free disk for 15 minutes", "See free-disk-metric.")
    saw = listed(f"core {core}: {age} s" for core, age in sorted(ages.items()))
    if late := [core for core, age in ages.items() if age >= LATE]:
        return deviates(
            saw,
            f"what CloudWatch knows of the disk of core {listed(sorted(late))} is too old for instance-drainer",
            "Look again in a minute. If it stays, report it: a core whose disk was full is not restarted by itself.",
        )
    return expected(f"the last report is this old: {saw}", "instance-drainer sees free disk while it is new")


# --- Volumes and keys -----------------------------------------------------------------------------------------------------


@look("customer-key")
def customer_key(stack: Stack) -> Seen:
    if not (key := stack.parameters.get("DataKmsKeyArn")):
        return unseen("this stack has no DataKmsKeyArn", "Deploy a test stack with one.")
    ids = stack.outputs["DataVolumeIds"].replace(",", " ").split()
    volumes = stack.account.every("ec2", "describe_volumes", "Volumes", VolumeIds=ids)
    states = {each["VolumeId"]: (each.get("KmsKeyId"), each["State"]) for each in volumes}
    if all(found == (key, "in-use") for found in states.values()):
        return expected(f"{len(states)} volumes have the key, and are in use", "instance-drainer may attach volumes with it")
    return deviates(str(states), "a volume has another key, or is not attached", "Read instance-drainer's log.")


@look("default-key")
def default_key(stack: Stack) -> Seen:
    key = stack.account.client("ec2").get_ebs_default_kms_key_id()["KmsKeyId"]
    serving = sum(each["LifecycleState"] == "InService" for group in stack.groups for each in group["Instances"])
    if key.endswith("alias/aws/ebs"):
        return unseen(f"the default key of EBS is AWS's own: {key}")
    return expected(f"the default key is {key}, and {serving} instances are in service", "Auto Scaling may use it")


# --- ECS ------------------------------------------------------------------------------------------------------------------


@look("memory")
def memory(stack: Stack) -> Seen:
    ecs, needs, short = stack.account.client("ecs"), {}, []
    for tier, tasks in stack.members.items():
        for definition in {task["taskDefinitionArn"] for task in tasks if "taskDefinitionArn" in task}:
            containers = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]["containerDefinitions"]
            needs[tier] = max(needs.get(tier, 0), sum(each["memory"] for each in containers))
    for each in stack.container_instances:
        have = {found["name"]: found.get("integerValue", 0) for found in each.get("registeredResources", [])}.get("MEMORY")
        if have and have < needs.get(stack.tier_of(each), 0):
            short.append(f"{each['ec2InstanceId']} has {have} MiB, its tier needs {needs[stack.tier_of(each)]}")
    if not needs:
        return unseen("ECS names no task definition of the tasks that run")
    if short:
        return deviates(listed(short), "the task does not fit on this instance type", "Report it: the table of memory is wrong.")
    return expected(f"needed: {listed(f'{tier} {mib} MiB' for tier, mib in needs.items())}; every instance has it", "tasks fit")


@look("task-count")
def task_count(stack: Stack) -> Seen:
    wrong = []
    for each in stack.container_instances:
        arn = each["containerInstanceArn"]
        running = sum(task.get("containerInstanceArn") == arn for task in stack.tasks)
        if (counted := each["runningTasksCount"]) != running:
            wrong.append(f"{each['ec2InstanceId']}: ECS counts {counted}, and lists {running}")
    if wrong:
        return deviates(
            listed(wrong),
            "ECS's count and its list do not agree; for seconds that is normal while a task starts or stops",
            "Look again in a minute. If it stays, instance-drainer releases no instance there.",
        )
    return expected(f"the same on {len(stack.container_instances)} container instances", "the count follows the list")


# --- Neo4j by the gateway ---------------------------------------------------------------------------------------------------


def without_gateway(stack: Stack) -> Seen | None:
    if "Neo4jGatewayFunction" in stack.outputs:
        return None
    return unseen("the stack has no output Neo4jGatewayFunction", "Deploy a version that has the function neo4j-gateway.")


@look("gateway-in-vpc")
def gateway_in_vpc(stack: Stack) -> Seen:
    if lacking := without_gateway(stack):
        return lacking
    name = stack.outputs["Neo4jGatewayFunction"]
    found = stack.account.client("lambda").get_function_configuration(FunctionName=name)
    vpc = found.get("VpcConfig", {})
    wanted = sorted({stack.parameters[f"CoreSubnet{place}"] for place in (1, 2, 3)})
    has, groups = sorted(vpc.get("SubnetIds", [])), vpc.get("SecurityGroupIds", [])
    saw = f"{found.get('State')}, subnets {listed(has)}, groups {listed(groups)}"
    if found.get("State") != "Active" or has != wanted or len(groups) != 1:
        return deviates(
            f"{saw}; {found.get('StateReason', 'no reason given')}",
            "Lambda has not connected the function to the cores' subnets",
            "Look for a subnet without a free address, and for a policy outside of the stack that keeps Lambda from EC2.",
        )
    return expected(saw, "Lambda made the interfaces with the function's role, whose denial is for the function's code alone")


@look("gateway-reach")
def gateway_reach(stack: Stack) -> Seen:
    if lacking := without_gateway(stack):
        return lacking
    groups = {each.id: each.physical for each in stack.of("AWS::EC2::SecurityGroup")}
    rules = stack.account.every(
        "ec2",
        "describe_security_group_rules",
        "SecurityGroupRules",
        Filters=[{"Name": "group-id", "Values": [groups["Gateway"]]}],
    )
    port = 7473 if stack.parameters.get("TlsSecretArn") else 7474
    shown = [
        f"{'out' if each['IsEgress'] else 'in'} {each.get('IpProtocol')} {each.get('FromPort')}-{each.get('ToPort')} "
        f"{each.get('ReferencedGroupInfo', {}).get('GroupId') or each.get('CidrIpv4') or each.get('CidrIpv6')}"
        for each in rules
    ]
    if shown != [f"out tcp {port}-{port} {groups['Members']}"]:
        return deviates(
            listed(sorted(shown)),
            "the group of the gateway lets more through than the members' HTTP port, or not even that",
            "Somebody changed its rules, or CloudFormation left the default one: report it in that case.",
        )
    return expected(listed(shown), "no default rule is left, and the function reaches the members alone")


def neo4j_metric(stack: Stack, name: str) -> list[float]:
    """Returns the best value of each minute of the last quarter of an hour."""
    points = stack.account.client("cloudwatch").get_metric_statistics(
        Namespace=METRICS,
        MetricName=name,
        Dimensions=[{"Name": "Cluster", "Value": stack.name}],
        StartTime=now() - datetime.timedelta(minutes=15),
        EndTime=now() + datetime.timedelta(minutes=1),
        Period=60,
        Statistics=["Maximum" if name == "MembersAnswering" else "Minimum"],
    )["Datapoints"]
    return [value for each in points for value in (each.get("Maximum", each.get("Minimum")),) if value is not None]


@look("members-answer")
def members_answer(stack: Stack) -> Seen:
    if lacking := without_gateway(stack):
        return lacking
    values, running = neo4j_metric(stack, "MembersAnswering"), sum(map(len, stack.members.values()))
    if not values:
        return deviates("MembersAnswering has no value", "instance-drainer does not ask", "Read instance-drainer's log.")
    saw = f"at best {max(values):.0f} of {running} members answered in the last quarter of an hour"
    if max(values) < running:
        return deviates(saw, "the gateway does not reach every member", "Run the command in the output ShowInstanceDrainerPlan.")
    return expected(saw, "the interfaces of the function reach the instances' own ports")


@look("monitor-user")
def monitor_user(stack: Stack) -> Seen:
    if lacking := without_gateway(stack):
        return lacking
    reports = len(neo4j_metric(stack, "MembersAnswering"))
    if not reports:
        return unseen("nobody has reported the user's login in the last quarter of an hour")
    # These two are written beside it only when they are not 0.
    told = {name: neo4j_metric(stack, name) for name in ("MonitorLoginsRefused", "MonitorRightsMissing")}
    found = {name: min(values) if len(values) >= reports else 0.0 for name, values in told.items()}
    saw = listed(f"{name}: {value:.0f}" for name, value in found.items())
    if any(found.values()):
        return deviates(
            saw, "Neo4j refuses the user monitor, or shows it too little", "docs/monitoring.md has a row for each alarm."
        )
    return expected(saw, "instance-drainer has made the user in an Enterprise cluster, and the rights that it gives are enough")


# --- The functions ----------------------------------------------------------------------------------------------------------


def lines(stack: Stack, group: str, pattern: str, since: datetime.timedelta, most: int) -> list[str]:
    """Returns lines of a log, at most so many. A page may be empty although others follow."""
    found: list[str] = []
    pages = stack.account.client("logs").get_paginator("filter_log_events")
    begin = int((now() - since).timestamp() * 1000)
    for page in pages.paginate(logGroupName=group, filterPattern=pattern, startTime=begin):
        found += [each["message"].strip() for each in page["events"]]
        if len(found) >= most:
            break
    return found[:most]


# backup-pruner runs every six hours. An alarm of its own tells when it does not.
SELDOM = ("Pruning",)


@look("sweeps")
def sweeps(stack: Stack) -> Seen:
    every_minute = {path: group for path, group in stack.logs.items() if path not in SELDOM}
    awake = {path: bool(lines(stack, group, "", datetime.timedelta(minutes=5), 1)) for path, group in every_minute.items()}
    if silent := [path for path, wakes in awake.items() if not wakes]:
        return deviates(
            f"no line of the last five minutes in the log of {listed(silent)}",
            "the function does not run: its schedule, its queue or its permissions",
            "Run the command in the output of that function that begins with Follow, and look at its alarms.",
        )
    return expected(
        f"lines of the last five minutes in the logs of {listed(sorted(awake))}",
        "the schedule reaches the FIFO queues, and the queues the functions",
    )


@look("lost-messages")
def lost_messages(stack: Stack) -> Seen:
    held = {}
    for queue in stack.of("AWS::SQS::Queue"):
        if queue.id != "Triggers":
            answer = stack.account.client("sqs").get_queue_attributes(
                QueueUrl=queue.physical, AttributeNames=["ApproximateNumberOfMessages"]
            )
            held[queue.physical.rsplit("/", 1)[1]] = int(answer["Attributes"]["ApproximateNumberOfMessages"])
    if full := [f"{name}: {count}" for name, count in held.items() if count]:
        return deviates(
            listed(full),
            "messages could not be read or delivered",
            "docs/monitoring.md, «Dead letters»: read them, fix the cause, purge them.",
        )
    return expected(f"nothing in {len(held)} queues", "rules, schedules and functions may do what they do")


@look("names")
def names(stack: Stack) -> Seen:
    zone, wrong, good = stack.outputs["HostedZoneId"], [], []
    records = stack.account.every("route53", "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone)
    for tier, output in (("core", "CoreName"), ("replica", "ReplicaName")):
        name = stack.outputs[output]
        of_name = [each for each in records if each["Type"] == "A" and each["Name"].rstrip(".") == name]
        published = {value["Value"] for each in of_name for value in each.get("ResourceRecords", [])}
        registered = set(stack.registered(tier).values())
        good.append(f"{name} → {listed(sorted(published))}")
        if published != registered:
            wrong.append(f"{name} → {listed(sorted(published))}, and Cloud Map lists {listed(sorted(registered))}")
    if wrong:
        return deviates(
            listed(wrong),
            "dns-replicator is behind, or keeps what it cannot prove",
            "Run the command in the output ShowDnsReplicatorPlan: it says why.",
        )
    return expected("; ".join(good), "the names lead to the members")


@look("quiet-alarms")
def quiet_alarms(stack: Stack) -> Seen:
    ids = [each.physical for each in stack.of("AWS::CloudWatch::Alarm")]
    found = [
        alarm
        for first in range(0, len(ids), 100)
        for alarm in stack.account.client("cloudwatch").describe_alarms(AlarmNames=ids[first : first + 100])["MetricAlarms"]
    ]
    if active := [f"{each['AlarmName']} ({each.get('StateReason', '')})" for each in found if each["StateValue"] == "ALARM"]:
        return deviates(
            f"active: {listed(active)}", "something is wrong, or an alarm is", "docs/monitoring.md has a row for each."
        )
    return expected(f"none of {len(found)} alarms is active", "what they watch is as it should be, or has not been reported yet")


@look("plan")
def plan(stack: Stack) -> Seen:
    if "plans" not in stack.account.allow:
        return unseen("asking for it invokes a function, which was not allowed", "Run it again with ALLOW=plans.")
    answer = stack.account.client("lambda").invoke(
        FunctionName=stack.outputs["InstanceDrainerFunction"], Payload=json.dumps({"dryRun": True}).encode()
    )
    told = json.loads(answer["Payload"].read())
    if "FunctionError" in answer or told.get("dryRun") is not True:
        return deviates(str(told)[:300], "the function failed, or took no dry run", "Read instance-drainer's log.")
    ailing = [f"core {each['core']}: {each['why']}" for each in told.get("cores", []) if not each.get("whole")]
    steps = [str(each) for each in told.get("steps", [])]
    if ailing or steps:
        return deviates(
            listed([*ailing, *steps])[:500], "a core is not whole, or something is to do", "docs/troubleshooting.md explains it."
        )
    return expected(f"{len(told.get('cores', []))} cores are whole, and nothing is to do", "the function answers people")


@look("deregistration-rights")
def deregistration_rights(stack: Stack) -> Seen:
    fortnight = datetime.timedelta(days=14)
    found = {path: lines(stack, group, '"AccessDenied"', fortnight, 1) for path, group in stack.logs.items()}
    found = {path: said for path, said in found.items() if said}
    if found:
        return deviates(
            listed(f"{path}: {said[0][:300]}" for path, said in found.items()),
            "a function lacks a permission, or a policy outside of the stack denies it",
            "Look for permission boundaries and service control policies; else report it.",
        )
    return expected(
        f"no AccessDenied in {len(stack.logs)} logs of the last 14 days",
        "the functions may do what they have done so far; a deregistration is only seen when a stack is deleted",
    )


@look("start-up-time")
def start_up_time(stack: Stack) -> Seen:
    times: dict[str, list[float]] = {}
    for path, group in stack.logs.items():
        for line in lines(stack, group, '"platform.report" "initDurationMs"', datetime.timedelta(days=14), 50):
            with contextlib.suppress(ValueError, AttributeError, KeyError):
                times.setdefault(path, []).append(json.loads(line)["record"]["metrics"]["initDurationMs"])
    if not times:
        return unseen("no log of the last 14 days has a report of a start")
    return expected(
        listed(f"{path}: {min(each):.0f} to {max(each):.0f} ms" for path, each in times.items()),
        "to be recorded: please report it",
    )
