"""What a run folder may say to a command."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.errors import ConfigError
from contextrast.runs.recorded_overrides import recorded_overrides
from scripts import fuzz_targets

FILE = Path("run/overrides.yaml")
HARMLESS = [
    "data=camvid", "loss/negatives=all", "loss/fusion@loss.second=attention", "logger=[csv,wandb]", "seed=3",
    "loss.alpha=0.2", "+trainer.limit_val_batches=2", "++loss.alpha=1", "~callbacks.pictures", "~logger",
    "data.dataset.lengths={train:40,val:10}", "data.dataset.values={0:0,127:1}", "loss.stage_weights=[1,0.5]",
    "data.root='/data/a b'", "logger.wandb.project=mine", "logger.wandb.tags=[a,b]", "model.weights=/w/a.pth",
    "trainer.devices=[0,1]", "trainer.precision=bf16-mixed", "experiment=null", "callbacks.last_checkpoint.previous=2",
    "data.mean=[0.1,0.2,0.3]", "callbacks/averaged_weights=ema",
]  # fmt: skip
CODE = [
    "+hydra.callbacks.e={_target_:numpy.load,file:/tmp/x.npy,allow_pickle:true}", "hydra/launcher=joblib",
    "hydra.launcher._target_=site.addsitedir", "hydra=other", "logger@hydra.callbacks=csv", "+logger@hydra=csv",
    "logger@hydra.sweep.dir=csv", "~hydra.callbacks", "++hydra.mode=MULTIRUN", "hydra.searchpath=[file:///tmp]",
    "model._target_=torch.load", "+callbacks.x={_target_:lightning.pytorch.callbacks.Timer}", "loss._partial_=true",
    "loss={a:{b:{_target_:torch.optim.SGD}}}", "loss.x=[[{_args_:[1]}]]", "+loss._args_=[1]", "a._convert_=all",
    "loss.x=str({_target_:a})", "seed.__class__=1",
]  # fmt: skip
REACHES = [
    "data=../../evil", "data=/tmp/evil", "data=file:///tmp/evil", "data=pkg://evil", "data=[csv,../x]", "../../x=evil",
    "+data/../../tmp=evil", "data=''", "data=a/../../b", "data=..", r"data=C:\\evil", "data=~/evil",
    "logger.wandb.project=${oc.env:SECRET}", "data=${oc.env:HOME}", "loss.x='a${seed}'", "loss.x={'${seed}':1}",
    "loss.x=[${now:%Y}]", r"loss.x='\\${seed}'", "+logger.wandb.settings.base_url=http://evil",
    "++logger.wandb.base_url=x", "logger.wandb.settings={base_url:x}", "+logger.other={a:1}",
]  # fmt: skip
NO_OVERRIDES = [
    "--config-dir=/tmp/evil", "-cd", "-m", "--multirun", "--hydra-help", "loss.alpha=0.1,0.2", "loss.alpha=range(3)",
    "loss.alpha=interval(0,1)", "alone", "", "=", "a=b\nc=d", "a=\x00", "a=\x1b[2J", "$a=1", "a=[", "a b=1",
    "a=" + "[" * 3000, "a=" + "x" * 5000,
]  # fmt: skip
WRITES = [
    "data.cache=/home/me", "callbacks.last_checkpoint.path=/home/me/.bashrc", "callbacks.pictures.directory=..",
    "trainer.default_root_dir=/home/me", "logger.csv.save_dir=/home/me", "callbacks.best_checkpoint.filename=../../x",
    "+callbacks.own.file=../x", r"+callbacks.own.file=C:\\x", "trainer.profiler.dirpath=/tmp",
    "+callbacks.own.file='~x'", "paths.run_dir=/home/me", "+trainer.weights_save_path=/home/me",
    "+callbacks.own={files:[/home/me]}",
]  # fmt: skip


def found(*texts, typed=()):
    return recorded_overrides(list(texts), FILE, typed)


@pytest.mark.parametrize("text", HARMLESS)
def test_settings_of_a_run_are_taken_as_they_were_typed(text):
    assert found(text).taken == [text]
    assert not found(text).left


@pytest.mark.parametrize("text", [*CODE, *REACHES, *NO_OVERRIDES])
def test_what_is_more_than_a_setting_of_a_run_is_refused(text):
    with pytest.raises(ConfigError, match=r"run/overrides\.yaml"):
        found("loss=ce", text)


@pytest.mark.parametrize("text", WRITES)
def test_where_to_write_is_left_out_and_told(text):
    assert found("loss=ce", text).left == [text]
    assert found("loss=ce", text).taken == ["loss=ce"]


def test_what_the_user_types_stands_for_what_the_file_has():
    assert not found(CODE[0], typed=["+hydra.callbacks.e={_target_:mine}"]).taken
    assert not found("data.cache=/a", typed=["data.cache=/b"]).left


@pytest.mark.parametrize("content", [None, {}, "loss=ce", 3, [1], [["loss=ce"]], [None], [{"loss": "ce"}]])
def test_a_file_of_something_else_is_refused(content):
    with pytest.raises(ConfigError, match="no list of overrides"):
        recorded_overrides(content, FILE, ())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([*HARMLESS, *CODE, *REACHES, *WRITES]),
            st.lists(fuzz_targets.PIECES, min_size=2, max_size=12).map("".join),
            st.tuples(st.sampled_from([*HARMLESS, *CODE, *REACHES]), fuzz_targets.PIECES, st.integers(0, 30)).map(
                lambda drawn: drawn[0][: drawn[2]] + drawn[1] + drawn[0][drawn[2] :]
            ),
        ),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_whatever_passes_composes_to_nothing_that_our_files_do_not_have(texts):
    """Hydra itself says what a text means: its settings stay, and what would be called stands in conf/."""
    with suppress(ConfigError):
        fuzz_targets.feed_recorded(json.dumps(texts).encode())
