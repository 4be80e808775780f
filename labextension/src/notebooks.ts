import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Cell } from '@jupyterlab/cells';
import { PathExt } from '@jupyterlab/coreutils';
import { NotebookActions, type INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import type { ISignal } from '@lumino/signaling';

import type { INotebooks, IOwner } from './context';

export const LOAD = '%load_ext rexec_jupyter';
const LOADED = /^\s*%load_ext\s+rexec_jupyter\b/m;
const MAGIC = /^\s*%%rexec\b[^\n]*\n?/;

/** The user's notebooks, as JupyterLab knows them. */
export class Notebooks implements INotebooks {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly tracker: INotebookTracker | null
  ) {}

  insert(code: string): boolean {
    const panel = this.tracker?.currentWidget;
    if (!panel) {
      return false;
    }
    const { content } = panel;
    const here = content.activeCell;
    if (here?.model.type !== 'code' || sourceOf(here).trim()) {
      NotebookActions.insertBelow(content);
    }
    content.activeCell?.model.sharedModel.setSource(code);
    this.app.shell.activateById(panel.id);
    void NotebookActions.focusActiveCell(content);
    return true;
  }

  kernelSpec(): string {
    return this.tracker?.currentWidget?.sessionContext.session?.kernel?.name ?? '';
  }

  ownerOf(kernel: string): IOwner {
    const all = [...this.app.serviceManager.sessions.running()];
    const own = all.filter(session => session.kernel?.id === kernel);
    const notebooks = own.filter(session => session.type === 'notebook');
    return {
      kind: own.length && !notebooks.length ? 'console' : 'notebook',
      name: notebooks.length === 1 ? notebooks[0].name || PathExt.basename(notebooks[0].path) : ''
    };
  }

  get ownersChanged(): ISignal<unknown, unknown> {
    return this.app.serviceManager.sessions.runningChanged;
  }
}

/** Whether a cell runs remotely. */
export function isRemote(cell: Cell | null): boolean {
  return cell?.model.type === 'code' && MAGIC.test(sourceOf(cell));
}

/**
 * Put `%%rexec` above the selected code cells, or take it away if all of them have it; tell
 * whether it was put there.
 */
export function toggleRemote(panel: NotebookPanel): boolean {
  const { content } = panel;
  const cells = content.widgets.filter(
    cell => cell.model.type === 'code' && content.isSelectedOrActive(cell)
  );
  const remote = !cells.every(isRemote);
  for (const cell of cells) {
    const bare = sourceOf(cell).replace(MAGIC, '');
    if (remote !== isRemote(cell)) {
      cell.model.sharedModel.setSource(remote ? `%%rexec\n${bare}` : bare);
    }
  }
  return remote;
}

/** Fill a new notebook: what loads rexec, and the first cell that runs remotely. */
export function prepare(panel: NotebookPanel): void {
  const notebook = panel.content.model?.sharedModel;
  notebook?.transact(() => {
    notebook.getCell(0)?.setSource(LOAD);
    notebook.addCell({ cell_type: 'code', source: '%%rexec\n' });
  });
  panel.content.activeCellIndex = 1;
}

/**
 * Have rexec loaded by the notebook's kernel: by the cell that says so, which is added in front if
 * there is none.
 */
export async function load(panel: NotebookPanel): Promise<void> {
  const { content } = panel;
  const active = content.activeCell;
  let cell = content.widgets.find(
    each => each.model.type === 'code' && LOADED.test(sourceOf(each))
  );
  if (!cell) {
    content.model?.sharedModel.insertCell(0, { cell_type: 'code', source: LOAD });
    cell = content.widgets[0];
    content.activeCellIndex = content.widgets.findIndex(each => each === active);
  } else if ('executionCount' in cell.model && cell.model.executionCount !== null) {
    return; // in this kernel or the one before: the magic itself says if it is not there
  }
  await panel.sessionContext.ready; // without a kernel it would pass the cell over
  await NotebookActions.runCells(content, [cell], panel.sessionContext);
}

function sourceOf(cell: Cell): string {
  return cell.model.sharedModel.getSource();
}
