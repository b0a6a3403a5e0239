"""Times how a hosted network of Escala and transformers continue texts, in turns; see benches/continue.sh.

    python continued_peer.py ESCALA [--rounds 5] [--layers 12] [--new 32] [--half] [--texts 8]
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import tokenizers
import torch
import transformers

BEFORE = 256
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-tgi-inference:2.7.0-tgi3.3.6-gpu-py311-cu124-ubuntu22.04"
ROLE = "arn:aws:iam::000000000000:role/any"


def checkpoint(folder: Path, layers: int, half: bool):
    """A network of random weights whose tokens are the letters of the text, and its folder."""
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=32000, hidden_size=896, intermediate_size=4864, num_hidden_layers=layers, num_attention_heads=14,
        num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=True, bos_token_id=None, eos_token_id=None,
    )
    network = transformers.Qwen2ForCausalLM(config).eval()
    if half:
        network = network.to(torch.bfloat16)
    network.save_pretrained(folder)
    # The peer computes with 32-bit floats either way: with less it would not say the same.
    network = network.float()
    letters = {chr(97 + n): n for n in range(26)}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({**letters, "?": 26}, unk_token="?"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    words.save(str(folder / "tokenizer.json"))
    return network


class Escala:
    def __init__(self, binary: str, folder: str, threads: int, model: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = [f"--set=engine.threads={threads}", f"--set=data.dir={folder}/data"]
        command = [binary, "serve", "--kafka", "off", "--listen", f"127.0.0.1:{port}", *settings]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        keys = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}
        client = lambda name: boto3.client(name, endpoint_url=f"http://127.0.0.1:{port}", **keys)
        sagemaker, self.runtime = client("sagemaker"), client("sagemaker-runtime")
        self.until("the server", lambda: sagemaker.list_models() and True)
        container = {"Image": IMAGE, "Environment": {"HF_MODEL_ID": str(model)}}
        sagemaker.create_model(ModelName="network", ExecutionRoleArn=ROLE, PrimaryContainer=container)
        variant = {"VariantName": "one", "ModelName": "network", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        sagemaker.create_endpoint_config(EndpointConfigName="network", ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName="network", EndpointConfigName="network")
        describe = lambda: sagemaker.describe_endpoint(EndpointName="network")
        self.until("the endpoint", lambda: describe()["EndpointStatus"] != "Creating")
        if describe()["EndpointStatus"] != "InService":
            raise SystemExit(describe()["FailureReason"])

    def until(self, what: str, there) -> None:
        deadline = time.monotonic() + 300
        while True:
            try:
                if there():
                    return
            except Exception as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SystemExit(f"{what} does not come: {error}")
            if time.monotonic() > deadline:
                raise SystemExit(f"{what} does not come")
            time.sleep(0.05)

    def __call__(self, text: str, new: int) -> list:
        body = json.dumps({"inputs": text, "parameters": {"max_new_tokens": new, "details": True}})
        answer = self.runtime.invoke_endpoint(EndpointName="network", ContentType="application/json", Body=body)
        return json.loads(answer["Body"].read())[0]["details"]["tokens"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("escala")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--half", action="store_true", help="weights are 16-bit brain floats")
    parser.add_argument("--texts", type=int, default=8, help="texts that are continued at once in the last figure")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        network = checkpoint(model, options.layers, options.half)
        escala = Escala(options.escala, folder, options.threads, model)
        texts = ["".join(chr(97 + (n * 7 + turn) % 26) for n in range(BEFORE)) for turn in range(options.texts)]
        pool = ThreadPoolExecutor(options.texts)

        def ours(texts: list, new: int) -> list:
            said = pool.map(lambda text: escala(text, new), texts)
            return [[token["id"] for token in tokens] for tokens in said]

        def peer(texts: list, new: int) -> list:
            # Texts of one length, at once: the best case of a batch that is put together beforehand.
            ids = torch.tensor([[ord(letter) - 97 for letter in text] for text in texts])
            with torch.no_grad():
                said = network.generate(ids, max_new_tokens=new, min_new_tokens=new, do_sample=False)
            return said[:, BEFORE:].tolist()

        def timed(way, texts: list, new: int) -> tuple[float, list]:
            start = time.perf_counter()
            said = way(texts, new)
            return time.perf_counter() - start, said

        ways = {"escala": ours, "transformers": peer}
        first, rate, all_of_them = ({name: [] for name in ways} for _ in range(3))
        try:
            for turn in range(options.rounds + 1):
                said = {}
                for name, way in ways.items():
                    one, _ = timed(way, texts[:1], 1)
                    more, _ = timed(way, texts[:1], 1 + options.new)
                    several, said[name] = timed(way, texts, options.new)
                    # The first turn warms both up.
                    if turn:
                        first[name].append(one)
                        rate[name].append(options.new / (more - one))
                        all_of_them[name].append(options.texts * options.new / several)
                if [tokens[:4] for tokens in said["escala"]] != [tokens[:4] for tokens in said["transformers"]]:
                    raise SystemExit(f"other tokens: {said}")
        finally:
            escala.process.terminate()
            escala.process.wait()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, medians of {options.rounds}", file=sys.stderr)
    of_all = f"tokens a second, {options.texts} texts at once, with reading them"
    for what, figures in [("seconds to the first token", first), ("tokens a second after it", rate), (of_all, all_of_them)]:
        median = {name: statistics.median(values) for name, values in figures.items()}
        ratio = statistics.median(a / b for a, b in zip(figures["escala"], figures["transformers"]))
        print(f"{what:51} escala {median['escala']:7.2f}  transformers {median['transformers']:7.2f}  ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
