import { useSyncExternalStore } from "react";

/**
 * Whether this is the browser of whoever looks. It is not on a server, nor while a page takes over what the server has
 * written: till then nothing may be shown that is another in each place, such as the browser's own time zone.
 */
export function useIsHere(): boolean {
  return useSyncExternalStore(never, () => true, () => false);
}

const never = () => () => undefined;
