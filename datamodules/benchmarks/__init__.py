"""Benchmarks of questions about videos: their descriptions and the formats of their question files."""

from datamodules.benchmarks.benchmark import Benchmark, LoadedBenchmark
from datamodules.benchmarks.choice_questions import EgoSchemaQuestions, NExTQuestions, VideoMMEQuestions
from datamodules.benchmarks.open_questions import (
    FlatQuestions,
    MSRVTTQuestions,
    MSVDQuestions,
    SeparateAnswers,
    TGIFFrameQuestions,
    VideoChatGPTQuestions,
)
from datamodules.benchmarks.question import (
    ChoiceQuestion,
    FirstWord,
    OneType,
    OpenQuestion,
    Question,
    QuestionTypes,
    TypeCodes,
    TypeNames,
)
from datamodules.benchmarks.question_file import QuestionFile

__all__ = [
    "Benchmark",
    "ChoiceQuestion",
    "EgoSchemaQuestions",
    "FirstWord",
    "FlatQuestions",
    "LoadedBenchmark",
    "MSRVTTQuestions",
    "MSVDQuestions",
    "NExTQuestions",
    "OneType",
    "OpenQuestion",
    "Question",
    "QuestionFile",
    "QuestionTypes",
    "SeparateAnswers",
    "TGIFFrameQuestions",
    "TypeCodes",
    "TypeNames",
    "VideoChatGPTQuestions",
    "VideoMMEQuestions",
]
