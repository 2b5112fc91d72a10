"""Holds the service's documents against their standards, and what it said against the documents.

    check.py valid FOLDER    openapi.json and asyncapi.json in it are what they say they are
    check.py closed FOLDER   prints openapi.json with answers that may hold nothing but what it names
    check.py heard FOLDER    what was said, which is in it, one JSON object a line, is what the documents tell

The documents leave their objects open, because clients ignore what they do not know. Here nothing is ignored.
"""

import copy
import json
import pathlib
import re
import sys

import jsonschema
from openapi_spec_validator import OpenAPIV31SpecValidator

HERE = pathlib.Path(__file__).parent
ASYNCAPI = HERE / "node_modules/@asyncapi/specs/schemas/3.0.0.json"
METHODS = {"get", "put", "post", "patch", "delete"}


def read(folder, name):
    return json.loads((pathlib.Path(folder) / name).read_text())


def closed(schema):
    """The same schema, whose objects hold nothing but what it names, and refer to such."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    tight = {name: closed(part) for name, part in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        tight["additionalProperties"] = False
    if isinstance(schema.get("$ref"), str):
        tight["$ref"] = re.sub("(#/components/schemas/)", r"\1closed.", schema["$ref"])
    return tight


def with_closed(document):
    document = copy.deepcopy(document)
    schemas = document["components"]["schemas"]
    schemas.update({f"closed.{name}": closed(schema) for name, schema in schemas.items()})
    return document


def with_closed_answers(openapi):
    openapi = with_closed(openapi)
    operations = [path[method] for path in openapi["paths"].values() for method in METHODS & path.keys()]
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    for answer in answers + list(openapi["components"]["responses"].values()):
        for content in answer.get("content", {}).values():
            content["schema"] = closed(content["schema"])
    return openapi


class Book:
    """A document's schemas."""

    def __init__(self, document, validator):
        self.document = with_closed(document)
        self.validator = validator

    def resolve(self, part):
        while isinstance(part, dict) and "$ref" in part:
            step = self.document
            for name in part["$ref"].removeprefix("#/").split("/"):
                step = step[name]
            part = step
        return part

    def complaints(self, schema, value):
        # What it refers to, it refers to in its own document.
        whole = {**closed(schema), "components": self.document["components"]}
        errors = self.validator(whole, format_checker=self.validator.FORMAT_CHECKER).iter_errors(value)
        return [f"at {error.json_path}: {error.message[:300]}" for error in errors]


class Documents:
    def __init__(self, folder):
        self.calls = Book(read(folder, "openapi.json"), jsonschema.Draft202012Validator)
        self.socket = Book(read(folder, "asyncapi.json"), jsonschema.Draft7Validator)

    def operation(self, method, path):
        path = path.split("?")[0]
        pattern = lambda template: re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        fitting = [template for template in self.calls.document["paths"] if re.fullmatch(pattern(template), path)]
        best = min(fitting, key=lambda template: template.count("{"), default=None)
        return self.calls.document["paths"].get(best, {}).get(method.lower())

    def of_answer(self, said):
        operation = self.operation(said["method"], said["path"])
        if operation is None:
            problem = {"$ref": "#/components/schemas/Problem"}
            if said["status"] not in (404, 405):
                return ["there is no such call, and the status says otherwise"]
            return self.calls.complaints(problem, said["body"])
        answer = self.calls.resolve(operation["responses"].get(str(said["status"])))
        if answer is None:
            return [f"the status {said['status']} is not told of"]
        missing = [name for name in answer.get("headers", {}) if name.lower() not in said["headers"]]
        complaints = [f"the header {name} is told of and not there" for name in missing]
        content = answer.get("content")
        if content is None:
            return complaints + (["a body is not told of"] if said["body"] is not None else [])
        kind = said["headers"].get("content-type")
        if kind not in content:
            return complaints + [f"the content type {kind} is not told of"]
        return complaints + self.calls.complaints(content[kind]["schema"], said["body"])

    def of_request(self, said):
        """What was sent and accepted fits what the document asks for."""
        operation = self.operation(said["method"], said["path"]) or {}
        body = operation.get("requestBody")
        if said["status"] >= 300 or said["sent"] is None:
            return []
        if body is None:
            return ["a body is taken, which is not told of"] if said["sent"] != {} else []
        return self.calls.complaints(body["content"]["application/json"]["schema"], said["sent"])

    def of_frame(self, said):
        messages = self.socket.document["components"]["messages"]
        name = f"{said['side']}.{said['frame'].get('type')}"
        message = messages.get(name)
        return self.socket.complaints(message["payload"], said["frame"]) if message else [f"there is no {name}"]

    def complaints(self, said):
        if "frame" in said:
            return self.of_frame(said)
        return self.of_answer(said) + self.of_request(said)


def valid(folder):
    documents = Documents(folder)
    openapi, asyncapi = read(folder, "openapi.json"), read(folder, "asyncapi.json")
    findings = [f"openapi.json: {error.message[:300]}" for error in OpenAPIV31SpecValidator(openapi).iter_errors()]
    errors = jsonschema.Draft7Validator(json.loads(ASYNCAPI.read_text())).iter_errors(asyncapi)
    findings += [f"asyncapi.json: at {error.json_path}: {error.message[:300]}" for error in errors]
    for message in asyncapi["components"]["messages"].values():
        jsonschema.Draft7Validator.check_schema(message["payload"])
        # Refers to nothing that is not there.
        documents.socket.complaints(message["payload"], {})
    return findings


def heard(folder):
    documents, findings, seen = Documents(folder), [], 0
    for line in (pathlib.Path(folder) / "heard").read_text().splitlines():
        said = json.loads(line)
        seen += 1
        findings += [f"{said['at']}: {complaint}" for complaint in documents.complaints(said)]
    if seen == 0:
        findings.append("nothing was said")
    return findings


if __name__ == "__main__":
    command, folder = sys.argv[1:]
    if command == "closed":
        print(json.dumps(with_closed_answers(read(folder, "openapi.json"))))
    else:
        found = {"valid": valid, "heard": heard}[command](folder)
        print("\n".join(found))
        sys.exit(1 if found else 0)
