#!/usr/bin/env python3
"""Runs the local AWS (ministack) in this process, adjusted for end-to-end tests and the demo.

The modelled AWS ("the world") owns the resources named in FORWARDED: CloudFormation hands them
to it over loopback. Everything else is the emulator's own. Functions inherit this process's
environment, so AWS_ENDPOINT_URL_ECS and its like, set here, send single services to the world.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import http.client
import http.server
import json
import os
import secrets
import socket
import string
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from signal import SIGINT, SIGTERM
from typing import Any
from urllib.parse import urlsplit

ACCOUNT, REGION = "000000000000", "eu-west-1"
LOOPBACK = "127.0.0.1"
SETTLE_SECONDS, ASK_AGAIN_SECONDS = 300, 0.2

FORWARDED = (
    "AWS::AutoScaling::AutoScalingGroup",
    "AWS::Batch::JobDefinition",
    "AWS::Batch::JobQueue",
    "AWS::EC2::LaunchTemplate",
    "AWS::EC2::Volume",
    "AWS::ECS::Cluster",
    "AWS::ECS::Service",
    "AWS::ECS::TaskDefinition",
    "AWS::Route53::HostedZone",
    "AWS::Route53::RecordSet",
    "AWS::ServiceDiscovery::PrivateDnsNamespace",
    "AWS::ServiceDiscovery::Service",
)

# The emulator's own, of which the world is told: its Neo4j is started with the passwords.
SECRET = "AWS::SecretsManager::Secret"
# `sam deploy` uploads to the emulator's, functions ask the world: each bucket is in both.
BUCKET = "AWS::S3::Bucket"

Props = dict[str, Any]
Handlers = dict[str, Any]


def environment(port: int, verbose: bool, scratch: str) -> None:
    """ministack reads its settings while it is imported, so this comes first."""
    os.environ |= {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": LOOPBACK,
        "MINISTACK_HOST": LOOPBACK,  # ResponseURL and QueueUrl carry it; "localhost" may mean ::1
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "LOG_LEVEL": "INFO" if verbose else "ERROR",
        "LAMBDA_EXECUTOR": "local",
        "AUTH": "true",  # signatures are checked and policies enforced
        "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{port}",
        "NO_PROXY": f"{LOOPBACK},localhost",
        "TMPDIR": scratch,  # unpacked function code goes there, and away with it
        # These two listen on every interface unless they are told not to listen at all.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # At start the emulator removes containers of earlier runs: not from this host's daemon.
        "DOCKER_HOST": f"unix://{scratch}/none",
    }
    tempfile.tempdir = scratch


class World:
    """Hands resources to the modelled AWS, and waits there until they have settled."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url).netloc

    def post(self, question: Props) -> tuple[int, Props]:
        # No urllib: it would follow the host's proxy settings.
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            body = json.dumps(question, default=str)
            connection.request("POST", "/resources", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        finally:
            connection.close()

    def settle(self, **question: Any) -> Props:
        status, answer = self.post(question)
        physical_id = answer.get("physicalId") or question.get("physicalId")
        deadline = time.monotonic() + SETTLE_SECONDS
        while status == 202:
            if time.monotonic() > deadline:
                status, answer = 408, {"message": f"{physical_id} did not settle in {SETTLE_SECONDS} s"}
                break
            time.sleep(ASK_AGAIN_SECONDS)
            status, answer = self.post({"action": "status", "type": question["type"], "physicalId": physical_id})
        if not 200 <= status < 300:
            if question["action"] == "create" and physical_id:
                # CloudFormation also removes what failed half way; the emulator keeps no record of it.
                self.post(
                    {
                        "action": "delete",
                        "type": question["type"],
                        "physicalId": physical_id,
                        "properties": question["properties"],
                    }
                )
            raise RuntimeError(answer.get("message") or f"the world answered {status}")
        return {"physicalId": physical_id, "attributes": {}} | answer

    def handlers(self, kind: str) -> Handlers:
        from ministack.services.cloudformation import provisioners

        def create(logical_id: str, props: Props, stack: str) -> tuple[str, Props]:
            made = self.settle(action="create", type=kind, logicalId=logical_id, properties=props, stack=stack)
            return made["physicalId"], made["attributes"]

        def update(physical_id: str, old: Props, new: Props, stack: str, logical_id: str) -> tuple[str, Props]:
            made = self.settle(
                action="update",
                type=kind,
                logicalId=logical_id,
                physicalId=physical_id,
                properties=new,
                oldProperties=old,
                stack=stack,
            )
            if made["physicalId"] != physical_id and provisioners._DEFERRED_PREDECESSOR_DELETES.get() is None:
                # A stack deletes what was replaced when it cleans up; a nested stack never cleans up.
                provisioners._delete_predecessor(delete, physical_id, old)
            return made["physicalId"], made["attributes"]

        def delete(physical_id: str, props: Props) -> None:
            self.settle(action="delete", type=kind, physicalId=physical_id, properties=props)

        return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def role_policy() -> Handlers:
    from ministack.services import iam

    def create(_logical_id: str, props: Props, _stack: str) -> tuple[str, Props]:
        status, _, body = iam._put_role_policy(
            {
                "RoleName": props["RoleName"],
                "PolicyName": props["PolicyName"],
                "PolicyDocument": json.dumps(props["PolicyDocument"]),
            }
        )
        if status >= 400:
            raise RuntimeError(str(body))
        return f"{props['PolicyName']}|{props['RoleName']}", {}

    def delete(_physical_id: str, props: Props) -> None:
        STRIPPED.add(props["RoleName"])
        iam._delete_role_policy(props)

    # Without an update handler the emulator creates again, which here overwrites.
    return {"create": create, "delete": delete}


def named_log_groups(known: Handlers) -> None:
    """CloudFormation names what has no name after the stack, the logical id and something random; the emulator puts
    log groups under /aws/cloudformation."""
    create_plain = known["create"]

    def create(logical_id: str, props: Props, stack: str) -> tuple[str, Props]:
        name = props.get("LogGroupName") or f"{stack}-{logical_id}-{uuid.uuid4().hex[:12]}"
        return create_plain(logical_id, props | {"LogGroupName": name}, stack)

    known["create"] = create


def functions_in_a_vpc(known: Handlers) -> None:
    """Keeps what a template says of a function's VPC, which the emulator's Lambda knows and its CloudFormation leaves out."""
    from ministack.services import lambda_svc

    def keep(name: str, props: Props) -> None:
        lambda_svc._functions[name]["config"]["VpcConfig"] = lambda_svc._vpc_config_with_id(props.get("VpcConfig"))

    create_plain, update_plain = known["create"], known["update"]

    def create(logical_id: str, props: Props, stack: str) -> tuple[str, Props]:
        made = create_plain(logical_id, props, stack)
        keep(made[0], props)
        return made

    def update(physical_id: str, old: Props, new: Props, stack: str, logical_id: str) -> tuple[str, Props]:
        made = update_plain(physical_id, old, new, stack, logical_id)
        keep(made[0], new)
        return made

    known |= {"create": create, "update": update}


def metric_math() -> None:
    """Lets an alarm on metric math be one on the first of its metrics: the emulator refuses it."""
    from ministack.services.cloudformation import provisioners

    record = provisioners._cw_metric_alarm_record

    def of_one(name: str, props: Props) -> Props:
        if metrics := props.get("Metrics"):
            first = next(query["MetricStat"] for query in metrics if "MetricStat" in query)
            of_alarm = {key: value for key, value in props.items() if key != "Metrics"}
            props = of_alarm | first["Metric"] | {"Period": first["Period"], "Statistic": first["Stat"]}
        return record(name, props)

    provisioners._cw_metric_alarm_record = of_one


def secret_string(props: Props) -> str:
    """Returns the value that a template gives a secret, or has generated: the emulator knows no ExcludePunctuation."""
    asked = props.get("GenerateSecretString")
    if not asked:
        return props.get("SecretString", "")
    punctuation = "" if asked.get("ExcludePunctuation") in (True, "true") else string.punctuation
    signs = string.ascii_letters + string.digits + punctuation
    password = "".join(secrets.choice(signs) for _ in range(int(asked.get("PasswordLength", 32))))
    if "SecretStringTemplate" not in asked:
        return password
    return json.dumps(json.loads(asked["SecretStringTemplate"]) | {asked["GenerateStringKey"]: password})


def secrets_of_both(known: Handlers, world: Handlers) -> Handlers:
    """Keeps each secret in the emulator and in the world, under one ARN, which is what Ref gives: the emulator's own gives the
    name, which no policy allows."""
    from ministack.services import secretsmanager

    def name_of(arn: str) -> str:
        return arn.partition(":secret:")[2][: -len("-AbCdEf")]

    def create(logical_id: str, props: Props, stack: str) -> tuple[str, Props]:
        value = {"SecretString": secret_string(props)}
        plain = {key: each for key, each in props.items() if key != "GenerateSecretString"} | value
        arn, _ = world["create"](logical_id, plain, stack)
        name, _ = known["create"](logical_id, plain | {"Name": name_of(arn)}, stack)
        secretsmanager._secrets[name]["ARN"] = arn
        return arn, {"Id": arn}

    def update(arn: str, old: Props, new: Props, _stack: str, _logical_id: str) -> tuple[str, Props]:
        changed = {key for key in old | new if old.get(key) != new.get(key)}
        if changed - {"Description", "Tags"}:
            raise RuntimeError(f"a secret is not changed here but in its description: {sorted(changed)}")
        secretsmanager._secrets[name_of(arn)]["Description"] = new.get("Description", "")
        return arn, {"Id": arn}

    def delete(arn: str, props: Props) -> None:
        world["delete"](arn, props)
        known["delete"](name_of(arn), props)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def buckets_of_both(known: Handlers, world: Handlers) -> Handlers:
    """Keeps each bucket in the emulator and in the world, under the emulator's name."""

    def create(logical_id: str, props: Props, stack: str) -> tuple[str, Props]:
        name, attributes = known["create"](logical_id, props, stack)
        world["create"](logical_id, props | {"BucketName": name}, stack)
        return name, attributes

    def delete(name: str, props: Props) -> None:
        world["delete"](name, props)
        known["delete"](name, props)

    return known | {"create": create, "delete": delete}


def placeholder() -> Handlers:
    """For types that nothing in a local run looks at: named, and otherwise absent."""
    return {
        "create": lambda logical_id, _props, stack: (f"{stack}-{logical_id}-{uuid.uuid4().hex[:8]}", {}),
        "update": lambda physical_id, _old, _new, _stack: (physical_id, {}),
        "delete": lambda _physical_id, _props: None,
    }


# Types that the pinned ministack does not know; an entry that it learns has to leave this list.
PLACEHOLDERS: dict[str, Callable[[], Handlers]] = {
    "AWS::Batch::ComputeEnvironment": placeholder,
    "AWS::CloudWatch::AlarmMuteRule": placeholder,
    "AWS::CloudWatch::CompositeAlarm": placeholder,
    "AWS::EC2::SecurityGroupEgress": placeholder,
    "AWS::EC2::SecurityGroupIngress": placeholder,
    "AWS::IAM::RolePolicy": role_policy,
}


def resource_types(world: World) -> None:
    from ministack.services.cloudformation import provisioners, stacks

    known = provisioners._RESOURCE_HANDLERS
    if grown := sorted(PLACEHOLDERS.keys() & known.keys()):
        sys.exit(f"ministack knows these types by now, take them off PLACEHOLDERS: {', '.join(grown)}")
    known |= {kind: make() for kind, make in PLACEHOLDERS.items()}
    known |= {kind: world.handlers(kind) for kind in FORWARDED}
    known[SECRET] = secrets_of_both(known[SECRET], world.handlers(SECRET))
    known[BUCKET] = buckets_of_both(known[BUCKET], world.handlers(BUCKET))
    named_log_groups(known["AWS::Logs::LogGroup"])
    functions_in_a_vpc(known["AWS::Lambda::Function"])
    metric_math()
    # Handlers run on the event loop. Waiting there for a world that may itself call the gateway
    # or the door would stop both.
    on_worker = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda kind: kind in (*FORWARDED, SECRET, BUCKET) or on_worker(kind)


def nested_stacks() -> None:
    """What the emulator does for a top-level stack and forgets for a nested one."""
    from ministack.services.cloudformation import _stacks, engine, provisioners, stacks

    parse = engine._parse_template

    def parse_transformed(body: str) -> Props:
        # Only nested stacks look this name up here. Top-level operations hold their own reference
        # and must keep it: they transform by themselves and need the template as it was sent.
        template = engine._apply_transforms(parse(body))
        if isinstance(template, engine._TransformFailed):
            raise ValueError(template.error)
        return template

    engine._parse_template = parse_transformed
    handlers = provisioners._RESOURCE_HANDLERS["AWS::CloudFormation::Stack"]
    create_plain, update_plain = handlers["create"], provisioners._update_resource

    def delete(physical_id: str, _props: Props) -> None:
        # The emulator's own ignores DeletionPolicy and every failure, and records no event.
        name = provisioners._nested_stack_lookup_name(physical_id)
        child = _stacks.get(name)
        if child and child["StackStatus"] != "DELETE_COMPLETE":
            asyncio.run(stacks._delete_stack_async(name, child["StackId"]))  # on a thread of its own
            if child["StackStatus"] != "DELETE_COMPLETE":
                raise RuntimeError(child["StackStatusReason"])

    def create(logical_id: str, props: Props, stack: str) -> tuple[str, Props]:
        try:
            return create_plain(logical_id, props, stack)
        except Exception:
            # The parent never learns the id of a child that failed, so nobody else can remove it.
            for name, child in _stacks.items():
                if child.get("_parent_stack_name") == stack and name.startswith(f"{stack}-{logical_id}-"):
                    delete(name, props)
            raise

    def update(
        kind: str,
        physical_id: str,
        old: Props,
        new: Props,
        stack: str,
        logical_id: str | None = None,
        attributes: Props | None = None,
    ) -> tuple[str, Props]:
        if attributes is None:  # a nested stack passes none, and so loses those of whatever did not change
            attributes = _stacks.get(stack, {}).get("_resources", {}).get(logical_id, {}).get("Attributes")
        return update_plain(kind, physical_id, old, new, stack, logical_id, attributes)

    handlers |= {"create": create, "delete": delete}
    provisioners._update_resource = update


def deletions() -> None:
    """CloudFormation keeps what a resource depends on that it could not delete; the emulator goes on deleting."""
    from ministack.services.cloudformation import _stacks, stacks

    delete_plain = stacks._delete_resource

    def delete(kind: str, physical_id: str, props: Props, stack: str | None = None, logical_id: str | None = None) -> None:
        held = _stacks.get(stack, {})
        resources, declared = held.get("_resources", {}), (held.get("_template") or {}).get("Resources", {})
        # Dependents come first: one that still carries this mark has failed in this very run.
        failed = [name for name, found in resources.items() if found.get("ResourceStatus") == "DELETE_FAILED"]
        for name in failed:
            if name != logical_id and logical_id in stacks._with_dependencies([name], declared, set(resources)):
                raise RuntimeError(f"kept, since {name} could not be deleted")
        if kind in (*FORWARDED, SECRET, BUCKET):  # the emulator takes no snapshots; the world counts them
            props = props | {"DeletionPolicy": declared.get(logical_id, {}).get("DeletionPolicy", "Delete")}
        delete_plain(kind, physical_id, props, stack, logical_id)

    stacks._delete_resource = delete


class Clock:
    """The clock of schedules: real time, which a story can wind forward."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.wound = threading.Event()

    def time(self) -> float:
        return time.time() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.wound.wait(seconds)
        self.wound.clear()

    def wind(self, seconds: float) -> None:
        self.ahead += seconds
        self.wound.set()


DENIED: list[str] = []
STRIPPED: set[str] = set()  # roles that their stack has begun to take apart
LAMBDA, SCHEDULER, EVENTS = (f"{name}.amazonaws.com" for name in ("lambda", "scheduler", "events"))
POLLER = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


def denial(who: str, action: str, resource: str, policies: Any, context: Props | None = None, note: bool = True) -> str | None:
    """Returns why these policies do not allow this, in AWS's words."""
    from ministack.core.iam_evaluator import EvalContext, evaluate

    # Most operators compare one value as it is; only the keys of a batch have many.
    circumstances = {key.lower(): value[0] if len(value) == 1 else value for key, value in (context or {}).items()}
    asked = EvalContext(
        principal_arn=who,
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action=action,
        resource_arn=resource,
        region=REGION,
        secure_transport=True,
        service_context=circumstances,
    )
    if evaluate(asked, policies).decision == "Allow":
        return None
    why = (
        f"User: {who} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )
    if note and why not in DENIED:
        DENIED.append(why)
    return why


def denied_to_caller(authorization: str, action: str, resources: list[str], context: Props) -> str | None:
    """Returns why whoever signed a request to the world may not make it."""
    from ministack.core.iam_evaluator import AuthError, resolve_principal

    key = authorization.partition("Credential=")[2].partition("/")[0]
    caller = resolve_principal(key, ACCOUNT) if key else AuthError("MissingAuthenticationToken", "no signature")
    if isinstance(caller, AuthError):
        DENIED.append(f"{action}: {caller.code}: {caller.message}")
        return DENIED[-1]
    if caller.policies is None:  # the account's root
        return None
    if not caller.policies:  # the function was still running while its stack, and so its role, was deleted
        return f"{caller.arn} has no policies any more"
    whole = caller.arn.split("/")[1] not in STRIPPED  # as above, but other policies of the role are still there
    denials = (denial(caller.arn, action, resource, caller.policies, context, whole) for resource in resources or ["*"])
    return next(filter(None, denials), None)


def denied_to_service(service: str, role: str, resource: str, *actions: str) -> str | None:
    """Returns why a service may not do this with a role, or may not assume the role at all."""
    from ministack.core.iam_evaluator import EvalContext, _gather_role_policies, evaluate_resource_policy
    from ministack.services import iam

    name = role.rpartition("/")[2]
    asked = EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account="",
        action="sts:AssumeRole",
        resource_arn="*",
        region=REGION,
        secure_transport=True,
        service_context={"aws:sourceaccount": ACCOUNT},
    )
    found = iam._roles.get_scoped(ACCOUNT, None, name) or {"AssumeRolePolicyDocument": '{"Statement": []}'}
    trust = json.loads(found["AssumeRolePolicyDocument"])
    statements = [statement | {"Resource": "*"} for statement in trust["Statement"]]
    if evaluate_resource_policy({"Statement": statements}, asked, service=service).decision != "Allow":
        DENIED.append(f"{service} may not assume the role {role}")
        return DENIED[-1]
    policies = _gather_role_policies(name, ACCOUNT)
    return next(filter(None, (denial(role, action, resource, policies) for action in actions)), None)


def rights() -> None:
    """Checks permissions where the emulator does not, although it enforces policies: it polls queues and delivers events."""
    from ministack import app
    from ministack.core import iam_actions, iam_evaluator
    from ministack.services import lambda_svc

    # Loopback stands for TLS: policies deny whatever comes without it.
    pin, mappings = app.pin_request_origin, lambda_svc._iter_all_esms
    app.pin_request_origin = lambda address, _secure: pin(address, True)
    iam_evaluator._request_origin = contextvars.ContextVar("origin", default=(LOOPBACK, True))

    def may_poll(mapping: Props) -> bool:
        function = lambda_svc._functions.get_scoped(ACCOUNT, REGION, mapping["FunctionName"]) or {}
        role = function.get("config", {}).get("Role", "")
        return not denied_to_service(LAMBDA, role, mapping["EventSourceArn"], *POLLER)

    lambda_svc._iter_all_esms = lambda: (found for found in mappings() if may_poll(found[2]))

    # The tags of an alarm are asked for by its ARN (service authorization reference of CloudWatch), not by that of everything.
    find = iam_actions.extract_resource_arn

    def resource(service: str, method: str, path: str, headers: Any, body: Any, parameters: Any, *rest: str) -> str:
        named = service == "monitoring" and iam_actions._param(body, parameters, "ResourceARN")
        return named or find(service, method, path, headers, body, parameters, *rest)

    iam_actions.extract_resource_arn = resource


CLOCK = Clock()
SENDER: contextvars.ContextVar[tuple[str, str]] = contextvars.ContextVar("sender")
EVENT_TIME: contextvars.ContextVar[float | None] = contextvars.ContextVar("event_time", default=None)


def events() -> None:
    from ministack.services import eventbridge, scheduler, sqs

    invoke, dispatch = eventbridge._invoke_target, eventbridge._dispatch_to_sqs

    def invoke_target(target: Props, event: Props, rule: Props, view: Any = None) -> None:
        if event["Source"] == "aws.scheduler" and target.get("Input"):
            due = datetime.fromtimestamp(event["Time"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for name, value in (
                ("execution-id", str(uuid.uuid4())),
                ("scheduled-time", due),
                ("schedule-arn", rule["Arn"]),
                ("attempt-number", "1"),
            ):
                target = target | {"Input": target["Input"].replace(f"<aws.scheduler.{name}>", value)}
        sender = (SCHEDULER, target["RoleArn"]) if event["Source"] == "aws.scheduler" else (EVENTS, rule["Arn"])
        SENDER.set(sender)
        invoke(target, event, rule, view)

    def dispatch_to_sqs(spec: Any, payload: str, parameters: Props | None = None) -> None:
        # The emulator's own puts equal bodies into a FIFO queue twice; the queue drops the second.
        queue = sqs._queue_by_arn(str(spec))
        service, who = SENDER.get()
        if service == SCHEDULER and denied_to_service(service, who, str(spec), "sqs:SendMessage"):
            return
        if service == EVENTS and not sqs.queue_policy_allows(str(spec), service, who, ACCOUNT):
            DENIED.append(f"{who} may not send to {spec}")
            return
        if not queue or not queue["is_fifo"]:
            dispatch(spec, payload, parameters)
            return
        group = (parameters or {}).get("MessageGroupId")
        sqs._act_send_message({"MessageBody": payload, "MessageGroupId": group}, sqs._queue_url(spec.resource))

    eventbridge._invoke_target, eventbridge._dispatch_to_sqs = invoke_target, dispatch_to_sqs
    eventbridge._now_ts = lambda: EVENT_TIME.get() or time.time()  # PutEvents ignores an entry's Time
    scheduler.time = CLOCK
    scheduler._SCHEDULE_TICK_INTERVAL = 1  # schedules fire up to this late


async def put_events(entries: list[Props]) -> Props:
    from ministack.core.responses import request_scope
    from ministack.services import eventbridge

    results: list[Props] = []
    with request_scope(ACCOUNT, REGION):
        for entry in entries:  # one at a time: each has its own time, and more than ten may come
            at = entry.get("Time")
            EVENT_TIME.set(datetime.fromisoformat(at).timestamp() if isinstance(at, str) else at)
            _, _, body = eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
            results += json.loads(body)["Entries"]
    return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}


def open_door(port: int, loop: asyncio.AbstractEventLoop) -> None:
    """Opens the door for events of AWS services, since PutEvents refuses the sources `aws.*`. By it time is wound forward, too,
    and the world asks whether its callers are allowed to call."""
    from ministack.core.responses import request_scope

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                if self.path == "/events":
                    # On the gateway's loop, like every PutEvents: its state has no locks.
                    put = asyncio.run_coroutine_threadsafe(put_events(json.loads(body)), loop)
                    status, answer = 200, put.result(30)
                elif self.path == "/wind":
                    CLOCK.wind(float(json.loads(body)["seconds"]))
                    status, answer = 200, {}
                elif self.path == "/rights":
                    with request_scope(ACCOUNT, REGION):
                        status, answer = 200, {"denied": denied_to_caller(**json.loads(body))}
                elif self.path == "/denied":
                    status, answer = 200, {"denied": DENIED}
                else:
                    raise ValueError(f"no such door: {self.path}")
            except Exception as error:
                status, answer = 400, {"message": f"{type(error).__name__}: {error}"}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((LOOPBACK, port), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()


async def serve(port: int, door: int) -> None:
    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config
    from ministack.app import app
    from ministack.services import lambda_svc

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (SIGTERM, SIGINT):
        loop.add_signal_handler(number, stop.set)

    def parent_is_gone() -> None:
        # Not sys.stdin: its lock would be taken from under the interpreter at the end.
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=parent_is_gone, daemon=True).start()
    open_door(door, loop)
    # Bound here, so that a port which is taken ends us instead of making us report another's gateway.
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOOPBACK, port))
    config = Config()
    config.bind, config.loglevel = [f"fd://{bound.detach()}"], os.environ["LOG_LEVEL"]
    config.graceful_timeout, config.keep_alive_timeout = 0.5, 75
    gateway = asyncio.create_task(hypercorn(app, config, shutdown_trigger=stop.wait))
    while not gateway.done():
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        print(json.dumps({"ready": True, "gateway": f"http://{LOOPBACK}:{port}"}), flush=True)
        break
    try:
        await gateway
    finally:
        lambda_svc.reset()  # function processes would outlive us


def main() -> None:
    summary = __doc__.partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary, epilog="Ends when its standard input does.")
    parser.add_argument("--port", type=int, required=True, help=f"gateway port on {LOOPBACK}")
    parser.add_argument("--world", required=True, help="base URL of the modelled AWS")
    parser.add_argument("--door", type=int, required=True, help=f"port on {LOOPBACK} for events of AWS services")
    parser.add_argument("--verbose", action="store_true", help="log what the emulator does")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="local-aws-") as scratch:
        environment(args.port, args.verbose, scratch)
        resource_types(World(args.world))
        nested_stacks()
        deletions()
        events()
        rights()
        asyncio.run(serve(args.port, args.door))
    sys.stdout.flush()
    os._exit(0)  # threads of the emulator that still wait for something must not hold us here


if __name__ == "__main__":
    main()
