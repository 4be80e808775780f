import { LabIcon } from '@jupyterlab/ui-components';

import rexec from '../style/rexec.svg';

export const rexecIcon = new LabIcon({ name: 'rexec:icon', svgstr: rexec });
