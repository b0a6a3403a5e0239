"""Writes the service models that the AWS doors are driven by, from the models that botocore carries.

    python -m venv /tmp/aws-models && /tmp/aws-models/bin/pip install botocore==1.44.5
    /tmp/aws-models/bin/python service/aws-models/generate.py            # writes *.json beside this file
    /tmp/aws-models/bin/python service/aws-models/generate.py --check    # fails if they would change

botocore is Apache-2.0 (Copyright Amazon.com, Inc. or its affiliates). Only the facts of an interface are
kept: names, types, bounds, enums, patterns, errors and protocol. No documentation text, no examples.
The version is pinned so that a run on any day gives the same bytes; raising it is a deliberate change
whose diff shows what AWS changed, one shape to a line.
"""

import gzip
import json
import pathlib
import sys

import botocore

PINNED = "1.44.5"
SERVICES = {"comprehend": "2017-11-27", "rekognition": "2016-06-27", "sagemaker": "2017-07-24", "logs": "2014-03-28"}
# Of services with hundreds of operations only these have their shapes; of the others there is the name.
CHOSEN = {
    "sagemaker": """
        CreateTrainingJob DescribeTrainingJob ListTrainingJobs StopTrainingJob DeleteTrainingJob
        CreateModel DescribeModel ListModels DeleteModel
        CreateEndpointConfig DescribeEndpointConfig ListEndpointConfigs DeleteEndpointConfig
        CreateEndpoint DescribeEndpoint ListEndpoints UpdateEndpoint UpdateEndpointWeightsAndCapacities DeleteEndpoint
        CreateTransformJob DescribeTransformJob ListTransformJobs StopTransformJob
        AddTags ListTags DeleteTags
    """,
    "logs": "DescribeLogGroups DescribeLogStreams GetLogEvents FilterLogEvents DeleteLogGroup DeleteLogStream",
}
HERE = pathlib.Path(__file__).resolve().parent
# The output of operations that have none.
NOTHING = "Nothing"
# Facts of a shape that are kept as they are.
KEPT = ("type", "required", "min", "max", "pattern", "enum", "sensitive")


def shape_facts(shape):
    facts = {key: shape[key] for key in KEPT if key in shape}
    if shape["type"] == "structure":
        facts["members"] = {name: member["shape"] for name, member in shape.get("members", {}).items()}
    elif shape["type"] == "list":
        facts["member"] = shape["member"]["shape"]
    elif shape["type"] == "map":
        facts["key"], facts["value"] = shape["key"]["shape"], shape["value"]["shape"]
    if shape.get("exception"):
        facts["exception"] = True
        if shape.get("fault"):
            facts["fault"] = True
        if "httpStatusCode" in shape.get("error", {}):
            facts["status"] = shape["error"]["httpStatusCode"]
    return facts


def reachable(model, names):
    todo, seen = [], set()
    for operation in (model["operations"][name] for name in names):
        todo += [operation[side]["shape"] for side in ("input", "output") if side in operation]
        todo += [error["shape"] for error in operation.get("errors", [])]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        shape = model["shapes"][name]
        todo += [member["shape"] for member in shape.get("members", {}).values()]
        todo += [shape[part]["shape"] for part in ("member", "key", "value") if part in shape]
    return sorted(seen)


def render(service, version):
    path = pathlib.Path(botocore.__file__).parent / "data" / service / version / "service-2.json.gz"
    model = json.loads(gzip.decompress(path.read_bytes()))
    metadata = model["metadata"]
    assert "json" in metadata["protocols"], f"{service} no longer speaks AWS JSON"
    head = {
        "source": f"botocore {PINNED} (Apache-2.0), facts only, written by generate.py",
        "serviceId": metadata["serviceId"],
        "apiVersion": metadata["apiVersion"],
        "protocols": metadata["protocols"],
        "jsonVersion": metadata["jsonVersion"],
        "targetPrefix": metadata["targetPrefix"],
        "signingName": metadata.get("signingName", metadata["endpointPrefix"]),
    }
    chosen = CHOSEN[service].split() if service in CHOSEN else list(model["operations"])
    operations = {}
    for name in sorted(chosen):
        operation = model["operations"][name]
        assert operation["http"] == {"method": "POST", "requestUri": "/"}, name
        operations[name] = {
            "input": operation["input"]["shape"],
            "output": operation["output"]["shape"] if "output" in operation else NOTHING,
            "errors": [error["shape"] for error in operation.get("errors", [])],
        }
    shapes = {name: shape_facts(model["shapes"][name]) for name in reachable(model, chosen)}
    if any(operation["output"] == NOTHING for operation in operations.values()):
        shapes[NOTHING] = {"type": "structure", "members": {}}

    def compact(value):
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"))

    def table(rows):
        return "{\n" + ",\n".join(f"{compact(name)}:{compact(row)}" for name, row in rows.items()) + "\n}"

    parts = [f"{compact(key)}:{compact(value)}" for key, value in head.items()]
    others = sorted(set(model["operations"]) - set(chosen))
    if others:
        parts.append(f'"others":{compact(others)}')
    parts += [f'"operations":{table(operations)}', f'"shapes":{table(shapes)}']
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main():
    if botocore.__version__ != PINNED:
        sys.exit(f"botocore {PINNED} is needed, this is {botocore.__version__}")
    stale = []
    for service, version in SERVICES.items():
        path, text = HERE / f"{service}.json", render(service, version)
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
            print(f"{path.name}: {len(text)} bytes")
    if stale:
        sys.exit(f"out of date: {', '.join(stale)}")


if __name__ == "__main__":
    main()
