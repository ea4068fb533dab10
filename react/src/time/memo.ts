const MOST = 500;

/** A function of a text that remembers what it gave. */
export function memoized<T>(make: (key: string) => T): (key: string) => T {
  const made = new Map<string, T>();
  return (key) => {
    if (!made.has(key)) {
      if (made.size >= MOST) made.clear();
      made.set(key, make(key));
    }
    return made.get(key) as T;
  };
}
