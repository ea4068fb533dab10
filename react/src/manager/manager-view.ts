import { englishManager } from "../labels/english-manager";
import type { Labels, ManagerLabels, SomeManagerLabels } from "../labels/labels";
import { useView, type View, type ViewProps } from "../view/view";

/** What the parts of the manager take. */
export interface ManagerView extends View {
  labels: Labels & ManagerLabels;
}

export interface ManagerViewProps extends Omit<ViewProps, "labels"> {
  /** Texts in place of the English ones; `{ ...german, ...germanManager }` has all of them in German. */
  labels?: SomeManagerLabels | undefined;
}

export function useManagerView(props: ManagerViewProps): ManagerView {
  const view = useView(props);
  return { ...view, labels: { ...englishManager, ...view.labels, ...props.labels } };
}
