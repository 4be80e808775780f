import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';

import { rexecIcon } from '../icons';
import { isRemote, load, prepare, toggleRemote } from '../notebooks';
import { told } from '../parts/trouble';
import { IRexec } from '../token';

export const Commands = {
  show: 'rexec:show',
  logIn: 'rexec:log-in',
  start: 'rexec:start',
  startEmbedded: 'rexec:start-embedded',
  search: 'rexec:search-catalog',
  toggleRemote: 'rexec:toggle-remote',
  newNotebook: 'rexec:new-notebook'
} as const;

/** Commands for the palette, the launcher's card, and the button above a notebook. */
export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'rexec-jupyter:commands',
  description: 'Commands, a launcher card and a notebook button for remote execution.',
  autoStart: true,
  requires: [IRexec],
  optional: [ICommandPalette, ILauncher, INotebookTracker, IDefaultFileBrowser],
  activate: (
    app: JupyterFrontEnd,
    rexec: IRexec,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    tracker: INotebookTracker | null,
    browser: IDefaultFileBrowser | null
  ): void => {
    const { commands } = app;
    const { trans, api, store, notebooks, activate } = rexec;
    const changeable = (): boolean => !store.known.readOnly;

    commands.addCommand(Commands.show, {
      label: trans.__('Show Remote Execution'),
      icon: rexecIcon,
      execute: () => activate()
    });
    commands.addCommand(Commands.logIn, {
      label: trans.__('Log In for Remote Execution…'),
      isEnabled: changeable,
      execute: () => activate({ section: 'connection', subject: 'login' })
    });
    commands.addCommand(Commands.start, {
      label: trans.__('Start a Server or Session…'),
      isEnabled: changeable,
      execute: () => activate({ section: 'servers', subject: 'start' })
    });
    commands.addCommand(Commands.startEmbedded, {
      label: trans.__('Start the Backend of This Computer'),
      isEnabled: changeable,
      execute: async () => {
        try {
          Notification.success((await api.startEmbedded(notebooks.kernelSpec())).text);
        } catch (error) {
          Notification.error(told(error), { autoClose: false });
        }
      }
    });
    commands.addCommand(Commands.search, {
      label: trans.__('Search the Data Catalog…'),
      execute: () => activate({ section: 'catalog', subject: 'search' })
    });
    commands.addCommand(Commands.newNotebook, {
      label: trans.__('Notebook with rexec'),
      caption: trans.__('Create a notebook whose cells can run remotely'),
      icon: rexecIcon,
      execute: async args => {
        const cwd = typeof args.cwd === 'string' ? args.cwd : browser?.model.path;
        const panel = (await commands.execute('notebook:create-new', {
          ...(cwd === undefined ? {} : { cwd }),
          kernelName: app.serviceManager.kernelspecs.specs?.default ?? 'python3'
        })) as NotebookPanel | undefined;
        if (panel) {
          await panel.context.ready;
          prepare(panel);
          await load(panel);
        }
        return panel;
      }
    });
    for (const command of Object.values(Commands)) {
      if (command !== Commands.toggleRemote) {
        palette?.addItem({ command, category: trans.__('Remote Execution') });
      }
    }
    launcher?.add({
      command: Commands.newNotebook,
      category: trans.__('Notebook'),
      rank: 5,
      // In that category a card has no other icon.
      kernelIconUrl: `data:image/svg+xml,${encodeURIComponent(rexecIcon.svgstr)}`
    });
    store.changed.connect(() => {
      if (changeable() !== enabled) {
        enabled = changeable();
        commands.notifyCommandChanged();
      }
    });
    let enabled = changeable();

    if (tracker) {
      commands.addCommand(Commands.toggleRemote, {
        label: trans.__('Run Cell Remotely'),
        caption: trans.__('Put %%%%rexec above the selected cells, or take it away'),
        icon: rexecIcon,
        isEnabled: () => tracker.currentWidget?.content.activeCell?.model.type === 'code',
        isToggled: () => isRemote(tracker.currentWidget?.content.activeCell ?? null),
        execute: async () => {
          const panel = tracker.currentWidget;
          if (panel && toggleRemote(panel)) {
            await load(panel);
          }
          commands.notifyCommandChanged(Commands.toggleRemote);
        }
      });
      palette?.addItem({
        command: Commands.toggleRemote,
        category: trans.__('Remote Execution')
      });
      const changed = (): void => commands.notifyCommandChanged(Commands.toggleRemote);
      tracker.activeCellChanged.connect((_, cell) => {
        changed();
        cell?.model.contentChanged.connect(changed);
      });
      tracker.currentChanged.connect(changed);
    }
  }
};
