"""Compares the rendered stacks with what a combination of parameters asks for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from render import INFRA, NAMED, SUBNET, Combination, Stack, Template, parameters_of, translate

Deployed = dict[str, Stack]
Facts = dict[str, tuple[Any, Any]]  # what is, and what should be

# The first so many cores are on demand.
ON_DEMAND = {"on-demand": 7, "spot": 0}
# The part of an instance's memory that tasks cannot have: the kernel's share, and the agent's MiB.
KERNEL, AGENT = 0.08, 256
# The stack whose instances are no members.
OTHERS_INSTANCES = ("Backup",)


def of(deployed: Deployed, kind: str, *paths: str) -> list[Template]:
    """Returns the properties of all resources of a type, in some stacks or in all."""
    return [
        found.get("Properties", {})
        for path, stack in sorted(deployed.items())
        if not paths or path in paths
        for found in stack.live["Resources"].values()
        if found["Type"] == kind
    ]


def output(deployed: Deployed, path: str, name: str) -> str:
    return deployed[path].live["Outputs"][name]["Value"]


def allowed(roles: list[Template], policies: list[Template]) -> dict[str, Any]:
    """Returns the resources of each allowed action."""
    policies = [*(own for role in roles for own in role["Policies"]), *policies]
    return {
        action: statement["Resource"]
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }


def dns_and_functions(chosen: Combination, deployed: Deployed) -> Facts:
    given, topic = chosen["HostedZoneId"], chosen["AlarmTopicArn"]
    routes = topic and chosen["AlarmRouter"] == "true"
    zone = output(deployed, "Discovery", "HostedZoneId")
    functions = of(deployed, "AWS::Lambda::Function")
    backups = ("Scheduling", "Pruning") if chosen["Backups"] == "true" else ()
    variables = {
        path: found["Environment"]["Variables"]
        for path in ("Discovery", "Draining", "Gateway", *backups)
        for found in of(deployed, "AWS::Lambda::Function", path)
    }
    written = [
        variables["Discovery"]["HOSTED_ZONE_ID"],
        *(found["HostedZoneId"] for found in of(deployed, "AWS::Route53::RecordSet")),
    ]
    alarms = of(deployed, "AWS::CloudWatch::Alarm") + of(deployed, "AWS::CloudWatch::CompositeAlarm")
    actions = [alarm.get(kind) for alarm in alarms for kind in ("AlarmActions", "OKActions")]
    may = allowed(of(deployed, "AWS::IAM::Role", "Draining"), of(deployed, "AWS::IAM::RolePolicy", "Draining"))
    return {
        "a zone is created when none is given": (len(of(deployed, "AWS::Route53::HostedZone")), 0 if given else 1),
        "all writes go into the zone": (written, [given or zone] * 3),
        "alarms call the router, those about it the topic, and nothing else": (
            {tuple(called) for called in actions if called},
            {(output(deployed, "Alerting", "FunctionArn"),), (topic,)} if routes else {(topic,)} if topic else set(),
        ),
        "health is asked for": (variables["Discovery"]["REQUIRE_HEALTHY"], "true"),
        "a dry run is one": (
            {path: found.get("DRY_RUN") for path, found in variables.items()},
            {path: None if path == "Gateway" else chosen["DryRun"] for path in variables},
        ),
        "functions run on the processor": (
            [found["Architectures"] for found in functions],
            [[chosen["Architecture"]]] * (3 + len(backups) + bool(routes)),
        ),
        "the key of the volumes may be used": (
            may.get("kms:CreateGrant"),
            chosen["DataKmsKeyArn"] or "arn:aws:kms:eu-west-1:000000000000:key/*",
        ),
    }


def logs(chosen: Combination, deployed: Deployed) -> Facts:
    groups = of(deployed, "AWS::Logs::LogGroup")
    insights = f"/aws/ecs/containerinsights/{output(deployed, 'Ecs', 'ClusterName')}/performance"
    return {
        "Container Insights finds its log": ([g["LogGroupName"] for g in groups if "LogGroupName" in g], [insights]),
        "and the cluster comes after it": (deployed["Ecs"].live["Resources"]["Cluster"].get("DependsOn"), "InsightsLog"),
        "logs do not grow for ever": ({str(g.get("RetentionInDays")) for g in groups}, {chosen["LogRetentionDays"]}),
    }


def cores(chosen: Combination, deployed: Deployed) -> Facts:
    numbers = range(1, int(chosen["CoreCount"]) + 1)
    nodes = [f"Cores/Core{number}" for number in numbers]
    volumes, groups = of(deployed, "AWS::EC2::Volume"), of(deployed, "AWS::AutoScaling::AutoScalingGroup", *nodes)
    paid = [group["MixedInstancesPolicy"]["InstancesDistribution"] for group in groups]
    user_data = [
        found["LaunchTemplateData"]["UserData"]["Fn::Base64"] for found in of(deployed, "AWS::EC2::LaunchTemplate", *nodes)
    ]
    ids = [output(deployed, path, "VolumeId") for path in nodes if path in deployed]
    places = [(number - 1) % 3 + 1 for number in numbers]
    on_demand = ON_DEMAND.get(chosen["CorePurchase"], int(chosen["CoreOnDemandBase"]))
    snapshots = chosen["RestoreSnapshotIds"].split(",") if chosen["RestoreSnapshotIds"] else [None] * len(numbers)
    named = [tag["Value"] for group in groups for tag in group["Tags"] if tag["Key"] == "neo4j:volume"]
    return {
        "there are so many cores": ([path for path in sorted(deployed) if path.startswith("Cores/")], nodes),
        "each has a volume in the zone of its place": (
            [volume["AvailabilityZone"] for volume in volumes],
            [NAMED[f"CoreZone{place}"] for place in places],
        ),
        "each has a group in the subnet of its place": (
            [group["VPCZoneIdentifier"] for group in groups],
            [[NAMED[f"CoreSubnet{place}"]] for place in places],
        ),
        "each group holds one instance": (
            [(g["MinSize"], g["DesiredCapacity"], g["MaxSize"]) for g in groups],
            [("1", "1", "1")] * len(numbers),
        ),
        "each has the chosen purchase option": (
            [(int(found["OnDemandBaseCapacity"]), found["OnDemandPercentageAboveBaseCapacity"]) for found in paid],
            [(0, 100 if number <= on_demand else 0) for number in numbers],
        ),
        "each volume is created from its snapshot": ([volume.get("SnapshotId") for volume in volumes], snapshots),
        "volumes have the key": ([volume.get("KmsKeyId", "") for volume in volumes], [chosen["DataKmsKeyArn"]] * len(numbers)),
        "volumes have a throughput with gp3 only": (
            ["Throughput" in volume for volume in volumes],
            [chosen["DataVolumeType"] == "gp3"] * len(numbers),
        ),
        "each instance mounts its own volume": (
            [re.findall("Elastic_Block_Store_(.*?) ", text) for text in user_data],
            [[each.replace("-", "")] for each in ids],
        ),
        "each instance has its own number": (
            [re.findall('"neo4j.core": "(.*?)"', text) for text in user_data],
            [[str(number)] for number in numbers],
        ),
        "each group names its volume": (named, ids),
        "a forced deletion of a group terminates no instance without its hook": (
            [group.get("DeletionProtection") for group in groups],
            ["prevent-force-deletion"] * len(numbers),
        ),
    }


def replicas(chosen: Combination, deployed: Deployed) -> Facts:
    count, purchase = chosen["ReplicaCount"], chosen["ReplicaPurchase"]
    groups = of(deployed, "AWS::AutoScaling::AutoScalingGroup", "Replicas")
    paid = [group["MixedInstancesPolicy"]["InstancesDistribution"] for group in groups]
    subnets = chosen["ReplicaSubnetIds"].split(",") if chosen["ReplicaSubnetIds"] else SUBNET[:3]
    base = int(chosen["ReplicaOnDemandBase"]) if purchase == "mixed" else 0
    some = count != "0"
    return {
        "without replicas there is nothing for them": (
            sorted({"Replicas", "ReplicaTask"} & deployed.keys()),
            ["ReplicaTask", "Replicas"] * some,
        ),
        "the group holds them": (
            [(g["MinSize"], g["DesiredCapacity"], g["MaxSize"]) for g in groups],
            [(count, count, count)] * some,
        ),
        "they are in their subnets": ([group["VPCZoneIdentifier"] for group in groups], [subnets] * some),
        "they have the chosen purchase option": (
            [(int(found["OnDemandBaseCapacity"]), found["OnDemandPercentageAboveBaseCapacity"]) for found in paid],
            [(base, 100 if purchase == "on-demand" else 0)] * some,
        ),
        "Spot instances at risk are replaced early": (
            [group["CapacityRebalance"] for group in groups],
            [purchase != "on-demand"] * some,
        ),
    }


def memory(instance_type: str) -> int:
    """Returns the MiB of an instance type, as AWS lists them."""
    family, size = instance_type.split(".")
    times = {"large": 1, "xlarge": 2, "2xlarge": 4, "4xlarge": 8, "8xlarge": 16}
    return {"m": 8192, "r": 16384}[family[0]] * times[size]


def members(tier: str, chosen: Combination, deployed: Deployed) -> Facts:
    """Compares the task definition and the services of a tier with the tier's instances."""
    is_core = tier == "core"
    task_of = "CoreTask" if is_core else "ReplicaTask"
    if task_of not in deployed:
        return {}
    places = [f"Cores/Core{number}" for number in range(1, int(chosen["CoreCount"]) + 1)] if is_core else ["Replicas"]
    services, [task] = of(deployed, "AWS::ECS::Service", *places), of(deployed, "AWS::ECS::TaskDefinition", task_of)
    group = of(deployed, "AWS::AutoScaling::AutoScalingGroup", *places)[0]
    family = output(deployed, task_of, "Family")
    registry = output(deployed, "Discovery", "CoreRegistryArn" if is_core else "ReplicaRegistryArn")
    containers = task["ContainerDefinitions"]
    neo4j = containers[0]
    settings = {found["Name"].removeprefix("NEO4J_"): found["Value"] for found in neo4j["Environment"]}
    count = int(chosen["CoreCount" if is_core else "ReplicaCount"])
    wanted = [int(found["DesiredCount"]) for found in services]
    percents = [int(found["DeploymentConfiguration"]["MinimumHealthyPercent"]) for found in services]
    left = [math.ceil(percent * tasks / 100) for percent, tasks in zip(percents, wanted, strict=True)]  # as ECS rounds
    types = [found["InstanceType"] for found in group["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]]
    needs = sum(int(found["Memory"]) for found in containers)
    room = min(map(memory, types)) * (1 - KERNEL) - AGENT
    caches = sum(int(settings[f"server_memory_{name}_size"][:-1]) for name in ("heap_max_", "pagecache"))
    tls, cluster_tls = chosen["TlsSecretArn"], chosen["ClusterTlsSecretArn"]
    secrets = {"ADMIN_PASSWORD": output(deployed, "root", "AdminSecretArn") + ":password::"}
    if tls:
        secrets |= {"TLS_CERTIFICATE": f"{tls}:certificate::", "TLS_KEY": f"{tls}:private_key::"}
    if cluster_tls:
        secrets |= {
            "CLUSTER_TLS_CERTIFICATE": f"{cluster_tls}:certificate::",
            "CLUSTER_TLS_CA": f"{cluster_tls}:ca::",
            "CLUSTER_TLS_KEY": f"{cluster_tls}:private_key::",
        }
    policies = {*(["bolt", "https"] if tls else []), *(["cluster"] if cluster_tls else [])}
    old, slow = chosen["Neo4jSeries"] == "5.26", chosen["SlowQueryLog"] == "true"
    placed = (
        [[{"Type": "memberOf", "Expression": f"attribute:neo4j.core == {number}"}] for number in range(1, count + 1)]
        if is_core
        else [[{"Type": "distinctInstance"}, {"Type": "memberOf", "Expression": "attribute:neo4j.tier == replica"}]]
    )
    facts: Facts = {
        "there are so many tasks": (wanted, [1] * count if is_core else [count]),
        "their services have their names": (
            [found["ServiceName"] for found in services],
            [f"core-{number}" for number in range(1, count + 1)] if is_core else ["replica"],
        ),
        "a deployment can stop one": ([rest < tasks for rest, tasks in zip(left, wanted, strict=True)], [True] * len(services)),
        "services name the family, which has no revision": ({found["TaskDefinition"] for found in services}, {family}),
        "which is that of the task definition": (task["Family"], family),
        "all register in one Cloud Map service": (
            {found["RegistryArn"] for service in services for found in service["ServiceRegistries"]},
            {registry},
        ),
        "a task fits on the smallest instance type": (needs <= room, True),
        "heap and page cache fit in the task": (caches < int(neo4j["Memory"]), True),
        "its ports, of which 2004 is none": (
            {found["ContainerPort"] for found in neo4j["PortMappings"]},
            {6000, 6362, 7000, 7473 if tls else 7474, 7687, 7688},
        ),
        "metrics are not served": ([name for name in settings if "prometheus" in name or "2004" in settings[name]], []),
        "with TLS plain text stays on loopback": (
            [settings["server_http_listen__address"], settings["server_https_enabled"], settings["server_bolt_tls__level"]],
            ["127.0.0.1:7474", "true", "REQUIRED"] if tls else ["0.0.0.0:7474", "false", "DISABLED"],
        ),
        "certificates are used": ({name.split("_")[3] for name in settings if name.startswith("dbms_ssl_policy")}, policies),
        "secrets are given": ({found["Name"]: found["ValueFrom"] for found in neo4j["Secrets"]}, secrets),
        "cores host primaries, replicas secondaries": (
            settings["server_cluster_system__database__mode"],
            "PRIMARY" if is_core else "SECONDARY",
        ),
        "cores are found by SRV records": (
            settings.get("dbms_cluster_discovery_v2_endpoints" if old else "dbms_cluster_endpoints"),
            f"core.discovery.{chosen['DomainName']}:0",
        ),
        "a cluster forms around so many, of which no two groups can form two": (
            settings["dbms_cluster_minimum__initial__system__primaries__count"],
            str(max(3, count // 2 + 1)) if is_core else "3",
        ),
        "only the old series is given the discovery version": ("dbms_cluster_discovery_version" in settings, old),
        "slow queries are logged": ((settings["db_logs_query_enabled"], len(containers)), ("INFO", 3) if slow else ("OFF", 2)),
        "each task has an instance of its own": ([found["PlacementConstraints"] for found in services], placed),
    }
    return {f"{tier}: {fact}": so for fact, so in facts.items()}


def target(chosen: Combination, deployed: Deployed) -> Facts:
    """Compares what the deployment records as wanted with what it declares."""
    [wanted] = of(deployed, "Custom::Target", "root")

    def launched(path: str) -> str:
        [group] = of(deployed, "AWS::AutoScaling::AutoScalingGroup", path)
        template = group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
        return f"{template['LaunchTemplateId']}:{template['Version']}"

    cores = [launched(f"Cores/Core{number}") for number in range(1, int(chosen["CoreCount"]) + 1)]
    some = chosen["ReplicaCount"] != "0"
    arns = {path: output(deployed, path, "TaskDefinitionArn") for path in ("CoreTask", "ReplicaTask") if path in deployed}
    return {
        "the revisions are wanted": (
            [wanted["CoreTaskDefinition"], wanted["ReplicaTaskDefinition"]],
            [arns["CoreTask"], arns.get("ReplicaTask", "")],
        ),
        "the launch templates are wanted, core 1 first": (
            [wanted["CoreLaunchTemplates"], wanted["ReplicaLaunchTemplate"]],
            [" ".join(cores), launched("Replicas") if some else ""],
        ),
    }


def network(chosen: Combination, deployed: Deployed) -> Facts:
    rules = of(deployed, "AWS::EC2::SecurityGroupIngress") + of(deployed, "AWS::EC2::SecurityGroupEgress")
    http = 7473 if chosen["TlsSecretArn"] else 7474
    by_address = sorted((found["CidrIp"], int(found["FromPort"])) for found in rules if "CidrIp" in found)
    cidr, further = chosen["ClientCidr"], chosen["NodeSecurityGroupIds"]
    members = [path for path in deployed if path not in OTHERS_INSTANCES]
    groups = [found["LaunchTemplateData"]["SecurityGroupIds"] for found in of(deployed, "AWS::EC2::LaunchTemplate", *members)]
    own = output(deployed, "Network", "MembersGroup")
    return {
        "these ports are open, and 2004 is not": (
            {(int(found["FromPort"]), int(found["ToPort"])) for found in rules},
            {(port, port) for port in (6000, 6362, 7000, http, 7687, 7688)},
        ),
        "given addresses reach Bolt and HTTP": (by_address, [(cidr, http), (cidr, 7687)] if cidr else []),
        "instances have their security groups": (groups, [[own, *filter(None, further.split(","))]] * len(groups)),
        "the URI to connect to has TLS": (
            output(deployed, "root", "ConnectTo").partition(":")[0],
            "neo4j+s" if chosen["TlsSecretArn"] else "neo4j",
        ),
    }


def secrets(chosen: Combination, deployed: Deployed) -> Facts:
    users = ("AdminSecretArn", "ReadWriteSecretArn", "ReadOnlySecretArn", "MonitorSecretArn")
    own = [name for name in users if chosen[name]]
    roles = [role for role in of(deployed, "AWS::IAM::Role", "Ecs") if "ecs-tasks" in str(role["AssumeRolePolicyDocument"])]
    may = allowed(roles, of(deployed, "AWS::IAM::RolePolicy", "Ecs"))
    given = {
        found["ValueFrom"].rsplit(":", 3)[0]
        for task in of(deployed, "AWS::ECS::TaskDefinition")
        for container in task["ContainerDefinitions"]
        for found in container.get("Secrets", [])
    }
    return {
        "users are generated when none are given": (len(of(deployed, "AWS::SecretsManager::Secret")), len(users) - len(own)),
        "own users are used": ([output(deployed, "root", name) for name in own], [chosen[name] for name in own]),
        "exactly the secrets that tasks are given may be read": (set(may["secretsmanager:GetSecretValue"]), given),
        "secrets are decrypted with their key": (may.get("kms:Decrypt"), chosen["SecretsKmsKeyArn"] or None),
        "the image is pulled from its repository": (may.get("ecr:BatchGetImage"), chosen["ImageRepositoryArn"] or None),
    }


def gateway(chosen: Combination, deployed: Deployed) -> Facts:
    [function] = of(deployed, "AWS::Lambda::Function", "Gateway")
    name, backs_up = function["FunctionName"], chosen["Backups"] == "true"
    callers = ("Discovery", "Draining", *(["Scheduling"] if backs_up else []))
    asked = {
        path: found["Environment"]["Variables"]["GATEWAY_FUNCTION"]
        for path in callers
        for found in of(deployed, "AWS::Lambda::Function", path)
    }
    rights = {
        path: allowed(of(deployed, "AWS::IAM::Role", path), of(deployed, "AWS::IAM::RolePolicy", path))
        for path, stack in deployed.items()
        if any(found["Type"] == "AWS::IAM::Role" for found in stack.live["Resources"].values())
    }
    arn = f"arn:aws:lambda:eu-west-1:000000000000:function:{name}"
    tls = bool(chosen["TlsSecretArn"])
    secrets = [output(deployed, "root", secret) for secret in ("AdminSecretArn", "MonitorSecretArn")]
    return {
        "its name is that of the root's stack": (name, f"neo4j-gateway-{deployed['root'].id.rpartition('/')[2]}"),
        "its callers know it": (asked, dict.fromkeys(callers, name)),
        "they alone may invoke it, and nothing else": (
            {path: may["lambda:InvokeFunction"] for path, may in rights.items() if "lambda:InvokeFunction" in may},
            dict.fromkeys(callers, arn),
        ),
        "it asks with TLS when members have it": (
            function["Environment"]["Variables"],
            {
                "TLS_NAME": f"core.{chosen['DomainName']}" if tls else "",
                "TLS_CA": chosen["TlsCaCertificate"] if tls else "",
            },
        ),
        "instance-drainer may read two secrets, backup-scheduler one, dns-replicator none": (
            {path: rights[path].get("secretsmanager:GetSecretValue") for path in (*callers, "Gateway")},
            {"Draining": secrets, "Discovery": None, "Gateway": None} | ({"Scheduling": secrets[1]} if backs_up else {}),
        ),
        "and decrypt them with their key": (rights["Draining"].get("kms:Decrypt"), chosen["SecretsKmsKeyArn"] or None),
    }


def backups(chosen: Combination, deployed: Deployed) -> Facts:
    stacks = ["Backup", "BackupJob", "Monitoring/BackupAlarms", "Pruning", "Scheduling"]
    found = [path for path in stacks if path in deployed]
    if chosen["Backups"] == "false":
        return {
            "without backups there is nothing of them": (found, []),
            "nor an output that speaks of them": (
                [name for name in deployed["root"].live["Outputs"] if "Backup" in name],
                ["BackupGroup"],
            ),
        }
    bucket, queue, key = chosen["BackupBucketName"], chosen["BackupQueueArn"], chosen["BackupKmsKeyArn"]
    buckets, queues = of(deployed, "AWS::S3::Bucket"), of(deployed, "AWS::Batch::JobQueue")
    environments = [found["ComputeResources"] for found in of(deployed, "AWS::Batch::ComputeEnvironment")]
    name = output(deployed, "Backup", "BucketName")
    [pruner], [scheduler] = (
        [found["Environment"]["Variables"] for found in of(deployed, "AWS::Lambda::Function", path)]
        for path in ("Pruning", "Scheduling")
    )
    rights = {path: allowed(of(deployed, "AWS::IAM::Role", path), []) for path in ("BackupJob", "Pruning", "Scheduling")}
    jobs = of(deployed, "AWS::Batch::JobDefinition")
    [lock] = [found.get("ObjectLockConfiguration") for found in buckets] or [None]
    x86 = chosen["CoreInstanceType"].startswith(("m7i", "r7i"))
    types = chosen["BackupInstanceTypes"].split(",") if chosen["BackupInstanceTypes"] else None
    wanted = types or (["r5.large", "r6i.large"] if x86 else ["r6g.large", "r7g.large"])
    differentials = [chosen["DifferentialBackupSchedule"]] if chosen["DifferentialBackupSchedule"] else []
    schedules = of(deployed, "AWS::Scheduler::Schedule", "Scheduling")
    [ends] = of(deployed, "AWS::Events::Rule", "Scheduling")
    tables = chosen["S3EndpointRouteTableIds"].split(",") if chosen["S3EndpointRouteTableIds"] else []
    return {
        "with backups there are all their stacks": (found, stacks),
        "a bucket is created when none is given": ((len(buckets), name), (0 if bucket else 1, bucket or name)),
        "all know the bucket, and their prefix in it": (
            {(each["BACKUP_BUCKET"], each["BACKUP_PREFIX"]) for each in (pruner, scheduler)}
            | {(deployed["BackupJob"].parameters["BucketName"], deployed["BackupJob"].parameters["Prefix"])},
            {(name, "neo4j/")},
        ),
        "the bucket that is created is locked when that is asked for": (
            lock and (lock["Rule"]["DefaultRetention"]["Mode"], str(lock["Rule"]["DefaultRetention"]["Days"])),
            ("GOVERNANCE", chosen["BackupObjectLockDays"]) if chosen["BackupObjectLockDays"] != "0" else None,
        ),
        "it is encrypted with the key": (
            [
                found["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]["ServerSideEncryptionByDefault"]
                for found in buckets
            ],
            [] if bucket else [{"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}],
        ),
        "whoever reads or writes it may use the key": (
            {path: may.get("kms:GenerateDataKey") for path, may in rights.items()},
            dict.fromkeys(rights, key or None),
        ),
        "queues are created when none is given, with one environment each": (
            ([len(found["ComputeEnvironmentOrder"]) for found in queues], sorted(found["Type"] for found in environments)),
            ([], []) if queue else ([1, 1], ["EC2", "SPOT"]),
        ),
        "jobs go to the queue": (
            (scheduler["JOB_QUEUE"], scheduler["ON_DEMAND_JOB_QUEUE"]),
            (queue, queue) if queue else tuple(output(deployed, "Backup", f"{kind}JobQueueArn") for kind in ("", "OnDemand")),
        ),
        "and may": (
            rights["Scheduling"]["batch:SubmitJob"],
            [scheduler["JOB_DEFINITION"], *sorted({scheduler[f"{kind}JOB_QUEUE"] for kind in ("", "ON_DEMAND_")}, reverse=True)],
        ),
        "and their ends are heard of": (
            ends["EventPattern"]["detail"]["jobQueue"],
            [*sorted({scheduler[f"{kind}JOB_QUEUE"] for kind in ("", "ON_DEMAND_")}, reverse=True)],
        ),
        "instances have the image's processor, the cluster's AMI, and the group that members let in": (
            [
                (found["InstanceTypes"], found["Ec2Configuration"][0]["ImageIdOverride"], found["SecurityGroupIds"])
                for found in environments
            ],
            [(wanted, chosen["AmiId"], [output(deployed, "Network", "BackupGroup")])] * len(environments),
        ),
        "jobs run the image of the members": ([found["ContainerProperties"]["Image"] for found in jobs], [chosen["Image"]]),
        "backups are taken when they should be": (
            sorted((found["ScheduleExpression"], found["ScheduleExpressionTimezone"]) for found in schedules),
            sorted((each, chosen["BackupTimeZone"]) for each in [chosen["FullBackupSchedule"], *differentials]),
        ),
        "there is an endpoint when route tables are given": (
            [found["RouteTableIds"] for found in of(deployed, "AWS::EC2::VPCEndpoint")],
            [tables] if tables else [],
        ),
    }


def wrong(combination: Combination, deployed: Deployed) -> Iterator[str]:
    """Yields where the stacks are not what the combination asks for."""
    chosen = parameters_of(translate(INFRA / "template.yaml"), NAMED | combination)
    facts = (
        dns_and_functions(chosen, deployed)
        | logs(chosen, deployed)
        | cores(chosen, deployed)
        | replicas(chosen, deployed)
        | members("core", chosen, deployed)
        | members("replica", chosen, deployed)
        | target(chosen, deployed)
        | network(chosen, deployed)
        | secrets(chosen, deployed)
        | gateway(chosen, deployed)
        | backups(chosen, deployed)
    )
    yield from (f"{fact}: {is_so!r}, not {should!r}" for fact, (is_so, should) in facts.items() if is_so != should)
