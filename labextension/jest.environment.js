const { TestEnvironment } = require('jest-environment-jsdom');

/** What browsers have and jsdom has not, from Node. */
module.exports = class extends TestEnvironment {
  constructor(...given) {
    super(...given);
    Object.assign(this.global, {
      AbortController,
      AbortSignal,
      fetch,
      Headers,
      Request,
      Response,
      WebSocket: globalThis.WebSocket
    });
    this.global.TextEncoder = TextEncoder;
    this.global.TextDecoder = TextDecoder;
    // JupyterLab derives something from it as soon as it is loaded.
    this.global.DragEvent ??= class extends this.global.MouseEvent {};
    this.global.matchMedia ??= media => ({ media, matches: false, addEventListener() {} });
    this.global.requestIdleCallback ??= act => this.global.setTimeout(act, 0);
    // Nothing has a size there, and everything can be seen.
    const observer = class {
      observe() {}
      unobserve() {}
      disconnect() {}
    };
    Object.assign(this.global, { ResizeObserver: observer, IntersectionObserver: observer });
    this.global.Element.prototype.scrollIntoView ??= () => undefined;
  }
};
