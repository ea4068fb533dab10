import { englishManager } from "../labels/english-manager.js";
import { type Labels, type ManagerLabels, type SomeManagerLabels, withLabels } from "../labels/labels.js";
import { useView, type View, type ViewProps } from "../view/view.js";

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
  return { ...view, labels: withLabels<Labels & ManagerLabels>({ ...englishManager, ...view.labels }, props.labels) };
}
