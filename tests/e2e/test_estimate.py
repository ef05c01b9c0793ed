"""What a fine-tuning says that it will take, before it begins, against what it took. Run by `make test-slow`."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# A process of its own, whose memory nothing else has swollen. In CPU seconds: waiting is not counted. What else runs
# still slows each second down, by other amounts while it is estimated and while it trains; so the pace of the machine,
# by a product of matrices, is measured beside both, and what it took is told at the pace of the estimate.
TRAINING = """
import json, re, sys, time
import numpy as np
from intently.contract import Past
from intently.evaluate.cost import peak_megabytes
from intently.learn.methods import method_of
from intently.learn.objective import head_loss
from intently.learn.text_finetune import Lessons, Run, TextRecipe, finetune_text
from intently.learn.text_reader import TextReader
from intently.text.tokens import encode
from intently.text.story import Story
from small_logs import day
from text_shop import TASK, shop

log, method = shop(), method_of(sys.argv[1])
examples = TASK.examples(log, [day(7 * week) for week in range(1, 11)])
recipe = TextRecipe(epochs=1, fewest_steps=0, held_out=0)
reader = TextReader(method=method.name, recipe=recipe).fit(examples, Past(log, examples))
rng = np.random.default_rng(0)
words = np.array("where is my parcel the refund for a red thing was late good day".split())
texts = [" ".join(rng.choice(words, int(length))) for length in rng.lognormal(3, 0.6, 1500)]
lessons = Lessons(
    encode([Story("", text, ()) for text in texts], reader.network_tokenizer, 128),
    rng.integers(3, size=len(texts)).astype(np.float32),
    reader.network_tokenizer.pad_token_id,
)
import torch
wide, narrow = torch.randn(1024, 384), torch.randn(384, 1536)
heard, paces = [], {"estimate": [], "training": []}

def pace(when):
    begun = time.process_time()
    for _ in range(8):
        wide @ narrow
    paces[when].append(time.process_time() - begun)

def clock():
    now = time.process_time()
    pace("estimate")
    # The first look is before the steps that are timed, the second after them.
    return time.process_time() if len(paces["estimate"]) == 1 else now

def progress(what, fraction):
    assert fraction > 0 or not heard
    heard.append(what)
    at.append(time.process_time())
    pace("training")

at = []
finetune_text(reader.network, lessons, Run(method, recipe, head_loss, progress=progress, clock=clock))
took = time.process_time() - at[0] - sum(paces["training"])
pace_then, pace_now = (sum(paces[when]) / len(paces[when]) for when in ("estimate", "training"))
took *= pace_then / pace_now
seconds, gigabytes = re.search(r"about (\\d+) seconds and ([\\d.]+) GB", heard[0]).groups()
told = {"told": [float(seconds), float(gigabytes)], "took": [took, peak_megabytes() / 1024]}
print(json.dumps(told | {"paces": [pace_then, pace_now]}))
"""


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_it_says_is_within_a_factor_of_two(method):
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, method],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for told, took in zip(found["told"], found["took"], strict=True):
        assert took / 2 <= told <= took * 2, found
