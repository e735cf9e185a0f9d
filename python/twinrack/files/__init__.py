"""Audio files, and fingerprints of files."""

from .audio_file import AudioFile as AudioFile
from .audio_file import AudioWriter as AudioWriter
from .audio_file import read_audio as read_audio
