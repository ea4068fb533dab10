/**
 * The present as the server tells it. A browser's clock may be a day off; what it counts since an answer came is right
 * all the same.
 */
export class ServerClock {
  private saw: { server: number; here: number } | undefined;

  /** An answer said that it is this instant, in Unix milliseconds. */
  tell(server: number): void {
    this.saw = { server, here: performance.now() };
  }

  /** The same in whole seconds, as every answer has it. It does not take the place of what is known better. */
  tellRoughly(server: number): void {
    if (this.saw === undefined) this.tell(server);
  }

  /** The present in Unix milliseconds; before any answer, as this machine's clock has it. */
  now(): number {
    return this.saw === undefined ? Date.now() : this.saw.server + (performance.now() - this.saw.here);
  }
}
