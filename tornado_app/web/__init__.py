"""The live page: plain files, no build step. `client` links to the JavaScript client's own source, `clients/js/src`."""
