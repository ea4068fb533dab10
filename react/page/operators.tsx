import { type ComponentType, type ReactNode, useCallback, useEffect, useState } from "react";

import type { Words } from "./words";

interface View {
  words: Words;
}

/** The operators' view, which is not loaded before it is wanted. */
export function Operators({ words }: View): ReactNode {
  const [View, setView] = useState<ComponentType<View>>();
  const [isLost, setIsLost] = useState(false);
  const load = useCallback(async () => {
    setIsLost(false);
    try {
      const loaded = await import("./operator-view");
      setView(() => loaded.default);
    } catch {
      setIsLost(true);
    }
  }, []);
  useEffect(() => void load(), [load]);
  if (View !== undefined) return <View words={words} />;
  if (!isLost) return <p role="status">{words.labels.loading}</p>;
  return (
    <p className="quota quota-notice quota-notice-error" role="alert">
      {words.labels.unreachable}{" "}
      <button type="button" className="quota-link" onClick={() => void again(load)}>
        {words.labels.tryAgain}
      </button>
    </p>
  );
}

/** Loads the view once more: by the page as it is now, if the server has one, since its files may have other names by then. */
async function again(load: () => Promise<void>): Promise<void> {
  try {
    const page = await fetch(location.pathname, { cache: "no-store" });
    if (page.ok) return location.reload();
  } catch {
    // It is tried all the same, and says what is wrong.
  }
  await load();
}
