"""Normalises the price table of a litellm wheel: prices.py WHEEL FOLDER. Standard library only.

One line a model of a provider that has a row in filter/wire/src/provider, rates in whole pico-dollars a token, rounded
up. A model of whose price this does not understand a part is left out, and said to be: what has no price is told aloud at
run time, and a wrong price is not.
"""

import base64
import csv
import datetime
import hashlib
import io
import json
import re
import sys
import zipfile
from decimal import ROUND_CEILING, Decimal

# Ours: theirs, the better one first.
PROVIDERS = {
    "anthropic": ["anthropic"],
    "azure": ["azure", "azure_ai"],
    "cerebras": ["cerebras"],
    "deepinfra": ["deepinfra"],
    "deepseek": ["deepseek"],
    "fireworks": ["fireworks_ai"],
    "groq": ["groq"],
    "huggingface": ["huggingface"],
    "mistral": ["mistral"],
    "moonshot": ["moonshot"],
    "nebius": ["nebius"],
    "novita": ["novita"],
    "nvidia": ["nvidia_nim"],
    "openai": ["openai", "text-completion-openai"],
    "openrouter": ["openrouter"],
    "parasail": ["parasail"],
    "perplexity": ["perplexity"],
    "sambanova": ["sambanova"],
    "together": ["together_ai"],
    "xai": ["xai"],
    "zai": ["zai"],
    "zhipu": ["bigmodel"],
}
MODES = {"chat", "completion", "responses"}

# Rates of tokens by the names we give them.
RATES = {
    "input_cost_per_token": "in",
    "output_cost_per_token": "out",
    "cache_read_input_token_cost": "cr",
    "cache_creation_input_token_cost": "cw",
    "cache_creation_input_token_cost_above_1hr": "cwl",
    "cache_creation_input_token_cost_above_12hr": "cwl",
    "output_cost_per_reasoning_token": "r",
    "input_cost_per_audio_token": "ai",
    "output_cost_per_audio_token": "ao",
}
RATE = re.compile(
    "(" + "|".join(sorted(RATES, key=len, reverse=True)) + ")"
    r"(?:_above_(\d+)k_tokens)?(?:_(flex|priority|batches|ultrafast))?"
)
SERVICES = {None: "price", "flex": "flex", "priority": "priority", "batches": "batch", "ultrafast": "fast"}

# Of no concern to a chat: the same under another name, tools that are billed by the call, other interfaces.
IGNORED = re.compile(
    "input_cost_per_token_cache_hit|search_context_cost_per_query|code_interpreter_cost_per_session"
    r"|\w+_decisions|\w+_above_1hr_above_\d+k_tokens_batches"
)
# Charged by the call besides: no price by tokens is right.
PER_CALL = re.compile("search|deep-research|sonar|pplx-|preset/|container")


def pico(dollars):
    return int((Decimal(str(dollars)) * 10**12).to_integral_value(ROUND_CEILING))


def rates(name, entry):
    """Service -> first token of a tier -> rates. None: not priced by tokens alone."""
    found = {}
    for field, value in entry.items():
        if "cost" not in field or value is None or IGNORED.fullmatch(field):
            continue
        # Of parts a zero is as often a gap as a gift; without it they cost as the rest.
        if value == 0 and not field.startswith(("input_cost_per_token", "output_cost_per_token")):
            continue
        if field == "input_cost_per_image_token" and value <= entry.get("input_cost_per_token", 0):
            continue
        matched = RATE.fullmatch(field)
        if not matched:
            print(f"left out: {name}: {field}")
            return None
        rate, thousands, service = matched.groups()
        start = int(thousands) * 1000 + 1 if thousands else 0
        tier = found.setdefault(SERVICES[service], {}).setdefault(start, {})
        tier[RATES[rate]] = pico(value)
    standard = found.get("price", {}).get(0, {})
    if not standard.get("in") and not standard.get("out"):
        print(f"left out: {name}: no price, or zero")
        return None
    if "in" not in standard or "out" not in standard:
        print(f"left out: {name}: half a price")
        return None
    return found


def complete(found):
    """Every list has every tier, every tier both rates, and no gap makes anything cheaper."""
    base = found["price"][0]
    starts = sorted(found["price"])
    for service in sorted(found, key=lambda service: service != "price"):
        tiers = found[service]
        for start in sorted(set(tiers) | set(starts)):
            plain = found["price"].get(start, base)
            like = base if service == "price" else plain
            tier = tiers.setdefault(start, {})
            for rate in ("in", "out"):
                if rate not in tier:
                    tier[rate] = max(plain.get(rate, base[rate]), tiers.get(0, {}).get(rate, 0))
            # As in the list it is like, and dearer in the same measure where all of this tier is.
            for rate in ("cr", "cw", "cwl", "ai", "ao", "r"):
                if rate not in tier and rate in like:
                    whole = "out" if rate in ("ao", "r") else "in"
                    factor = max(Decimal(1), Decimal(tier[whole]) / max(like[whole], 1))
                    tier[rate] = int((like[rate] * factor).to_integral_value(ROUND_CEILING))
    return found


def line(ours, model, entry, found):
    said = entry.get("provider_specific_entry") or {}
    if "fast" in said:
        factor = Decimal(str(said["fast"]))
        found["fast"] = {
            start: {rate: int((value * factor).to_integral_value(ROUND_CEILING)) for rate, value in tier.items()}
            for start, tier in found["price"].items()
        }
    out = {"p": ours, "m": model}
    limits = [entry.get("max_input_tokens"), entry.get("max_output_tokens")]
    out["ctx"] = [limit if isinstance(limit, int) and limit > 0 else None for limit in limits]
    for service in ("price", "flex", "priority", "fast", "batch"):
        if service in found:
            order = ("in", "out", "cr", "cw", "cwl", "r", "ai", "ao")
            out[service] = [
                {"from": start, **{rate: tier[rate] for rate in order if rate in tier}}
                for start, tier in sorted(found[service].items())
            ]
    if "us" in said:
        out["geo"] = int(Decimal(str(said["us"])) * 1000)
    return out


def table(entries):
    lines = []
    for ours, theirs in PROVIDERS.items():
        chosen = {}
        for their in theirs:
            for name, entry in entries.items():
                if entry.get("litellm_provider") != their or entry.get("mode") not in MODES:
                    continue
                prefixed = name.startswith(f"{their}/") or name.startswith(f"{theirs[0]}/")
                model = name.split("/", 1)[1] if prefixed else name
                # Azure's regions are no part of a model's name there, Together's sizes no model.
                if ours == "azure" and "/" in model or model.startswith("together-ai-") or PER_CALL.search(model):
                    continue
                found = rates(name, entry)
                if found is None:
                    continue
                made = line(ours, model, entry, complete(found))
                former = chosen.get(model)
                if former and former[0] == their and former[1]["price"] != made["price"]:
                    print(f"two prices: {name}")
                    made = max(former[1], made, key=lambda one: [(t["in"] + t["out"]) for t in one["price"]])
                if not former or former[0] == their:
                    chosen[model] = (their, made)
        lines += [made for _, (_, made) in sorted(chosen.items())]
    return lines


def read(wheel):
    """The table and the licence, checked against the wheel's list of its files."""
    with zipfile.ZipFile(wheel) as files:
        record = next(name for name in files.namelist() if name.endswith(".dist-info/RECORD"))
        listed = {row[0]: row[1] for row in csv.reader(io.StringIO(files.read(record).decode()))}
        folder = record.removesuffix("RECORD")

        def checked(name):
            data = files.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            if listed[name] != f"sha256={digest}":
                sys.exit(f"{name}: not what {record} says")
            return data

        source = "litellm/model_prices_and_context_window_backup.json"
        version = folder.removesuffix(".dist-info/").removeprefix("litellm-")
        return checked(source), checked(f"{folder}licenses/LICENSE").decode(), source, version


def main(wheel, folder):
    data, licence, source, version = read(wheel)
    if "MIT License" not in licence or source.startswith("enterprise/"):
        sys.exit("the licence has changed: read it")
    entries = json.loads(data)
    entries.pop("sample_spec", None)
    lines = table(entries)
    digest = hashlib.sha256(data).hexdigest()
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    header = {"source": f"PyPI litellm {version}: {source}", "sha256": digest, "read": today, "licence": "MIT"}
    with open(f"{folder}/litellm.jsonl", "w", encoding="utf-8") as out:
        for one in [header, *lines]:
            out.write(json.dumps(one, separators=(",", ":"), ensure_ascii=False) + "\n")
    with open(f"{folder}/LICENSE", "w", encoding="utf-8") as out:
        out.write(f"litellm.jsonl was made by .ci/prices.py from a file of litellm {version}, which has this licence:\n\n")
        out.write(licence)
    print(f"{len(lines)} prices of {len({one['p'] for one in lines})} providers, litellm {version}, {today}")


main(*sys.argv[1:])
