"""The live page and its client module: plain files, no build step."""
