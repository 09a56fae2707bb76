"""A model behind the interface of chat completions: `video-panda serve`."""
